//! A MongoDB for tests: SecantusDB, a wire-compatible double with change streams and transactions, as its own process.
//!
//! It speaks as a replica set of one, so URIs say `directConnection=true`. It is pinned to one core, because it slows
//! down for good after heavy concurrency. What it cannot show: majority, elections, a real failover.
//! Must never be shared between tests that write the same databases; a fresh one takes about a second.

use super::keep::{Kept, Launch};
use super::run::{free_port, root, tool};
use super::wait::{self, Seen};
use anyhow::{Context, Result};
use mongodb::bson::doc;
use std::path::Path;
use std::time::Duration;

/// How to start it.
#[derive(Clone, Copy, Default, Debug)]
pub struct MongoOptions {
    /// Makes each acknowledged commit survive SIGKILL, many times slower. Needed in every test that kills the store.
    pub sync_on_commit: bool,
    /// Lets a test make commands fail by `configureFailPoint`.
    pub fail_points: bool,
    /// As it is delivered, without the index on `_id` that tests/testbed/mongo/serve.py gives it.
    pub as_delivered: bool,
}

/// A running store; ended when dropped, or with this process. Its data stays in its folder.
pub struct Mongo {
    uri: String,
    address: String,
    // None: somebody else's, which is never started, stopped or killed here.
    server: Option<Server>,
}

struct Server {
    launch: Launch,
    kept: Kept,
}

impl Mongo {
    /// Starts one with its data in `dir/mongo-data`, and waits until it answers.
    pub async fn start(dir: &Path, options: MongoOptions) -> Result<Mongo> {
        let port = free_port()?;
        let mut command = Vec::new();
        // Started on one core when there are more.
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            command.extend(["taskset", "-c", "1"].map(str::to_owned));
        }
        if options.as_delivered {
            command.push(tool("mongo/bin/secantusd-py")?.display().to_string());
        } else {
            command.push(tool("mongo/bin/python")?.display().to_string());
            command.push(root().join("tests/testbed/mongo/serve.py").display().to_string());
        }
        command.extend(["--host", "127.0.0.1", "--log-level", "WARNING", "--cache-size", "128M"].map(str::to_owned));
        command.extend(["--port".to_owned(), port.to_string()]);
        command.extend(["--storage-path".to_owned(), dir.join("mongo-data").display().to_string()]);
        if options.sync_on_commit {
            command.push("--sync-on-commit".to_owned());
        }
        if options.fail_points {
            command.push("--enable-test-commands".to_owned());
        }
        let launch = Launch::new("mongo", command.remove(0), dir).args(command);
        let server = Server { kept: launch.start()?, launch };
        let mut mongo = Mongo { uri: uri(port), address: format!("127.0.0.1:{port}"), server: Some(server) };
        mongo.wait_ready().await?;
        Ok(mongo)
    }

    /// One that runs already and is not ours.
    pub fn elsewhere(uri: &str) -> Mongo {
        Mongo { uri: uri.to_owned(), address: String::new(), server: None }
    }

    /// The URI for programs and drivers.
    pub fn uri(&self) -> String {
        self.uri.clone()
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// A new client.
    pub async fn client(&self) -> Result<mongodb::Client> {
        client_of(&self.uri()).await
    }

    /// SIGTERM, and waits until it has ended; its data stays.
    pub async fn stop(&mut self) -> Result<()> {
        self.server()?.kept.stop(Duration::from_secs(10)).await.map(|_| ())
    }

    /// SIGKILL; keeps acknowledged writes only with `sync_on_commit`.
    pub async fn kill(&mut self) -> Result<()> {
        self.server()?.kept.kill().await
    }

    /// Starts it again on the same data and port (a running one is killed first), and waits until it answers.
    pub async fn restart(&mut self) -> Result<()> {
        let server = self.server()?;
        server.kept.kill().await?;
        server.kept = server.launch.start()?;
        self.wait_ready().await
    }

    /// Freezes it (SIGSTOP): it keeps its connections and does nothing.
    pub async fn freeze(&mut self) -> Result<()> {
        self.server()?.kept.signal("STOP").await
    }

    /// Lets a frozen one go on (SIGCONT).
    pub async fn thaw(&mut self) -> Result<()> {
        self.server()?.kept.signal("CONT").await
    }

    fn server(&mut self) -> Result<&mut Server> {
        self.server.as_mut().context("this store is somebody else's: it is not stopped here")
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let client = self.client().await?;
        let kept = &mut self.server()?.kept;
        wait::until(Duration::from_secs(60), "the store to answer", async || {
            if let Some(end) = kept.ended() {
                return Seen::Never(end);
            }
            client.database("admin").run_command(doc! {"ping": 1}).await.map(|_| ()).into()
        })
        .await
    }
}

/// A client that gives up soon, so that a test sees an outage quickly.
pub async fn client_of(uri: &str) -> Result<mongodb::Client> {
    clientnumber::install_crypto_provider();
    let mut options = mongodb::options::ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(Duration::from_secs(2));
    options.connect_timeout = Some(Duration::from_secs(2));
    Ok(mongodb::Client::with_options(options)?)
}

pub(super) fn uri(port: u16) -> String {
    // The double advertises a host name of its own choice; a direct connection stays on the address given.
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}
