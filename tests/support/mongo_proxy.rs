//! A proxy in front of MongoDB that can count, hold and cut commands, and play an outage.
//!
//! Each connection goes on its own: a request, its answer, the next one, as drivers speak. Change streams work through
//! it, as a getMore that waits. Must never change a message; what `wire` cannot read passes through.

use super::mongo::{Mongo, client_of, uri};
use super::switch::Switch;
use super::traps::{Hit, Point, Traps, Verdict, Which, pass};
use super::wire::{MongoRequest, more_to_come, parse, read_message};
use anyhow::{Result, bail};
use mongodb::bson::Document;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

type Test = Box<dyn Fn(&MongoRequest) -> bool + Send + Sync>;

/// Which commands a trap is for: all conditions must hold; the first such command unless told otherwise.
pub struct MongoRule {
    what: String,
    tests: Vec<Test>,
    which: Which,
}

impl MongoRule {
    /// Any command, also the driver's own hellos.
    pub fn any() -> Self {
        MongoRule { what: "a command".to_owned(), tests: Vec::new(), which: Which::Nth(1) }
    }

    /// One command by its name, for example `insert`, `update`, `findAndModify`, `commitTransaction`.
    pub fn command(name: &str) -> Self {
        let wanted = name.to_owned();
        let mut rule = MongoRule::any();
        rule.what = format!("the command {name}");
        rule.and(String::new(), move |request| request.command == wanted)
    }

    fn and(mut self, what: String, test: impl Fn(&MongoRequest) -> bool + Send + Sync + 'static) -> Self {
        self.what.push_str(&what);
        self.tests.push(Box::new(test));
        self
    }

    /// Sent to this database.
    pub fn database(self, name: &str) -> Self {
        let wanted = name.to_owned();
        self.and(format!(" to database {name}"), move |request| request.database == wanted)
    }

    /// Naming this collection.
    pub fn collection(self, name: &str) -> Self {
        let wanted = name.to_owned();
        self.and(format!(" on {name}"), move |request| request.collection == wanted)
    }

    /// Whose whole document fulfils this; `documents`, `updates` and `deletes` are arrays in it.
    pub fn body(self, test: impl Fn(&Document) -> bool + Send + Sync + 'static) -> Self {
        self.and(" with a certain body".to_owned(), move |request| test(&request.body))
    }

    /// Which fulfil this.
    pub fn matching(self, test: impl Fn(&MongoRequest) -> bool + Send + Sync + 'static) -> Self {
        self.and(" of a certain kind".to_owned(), test)
    }

    /// The nth one that all conditions hold for, counted from now on, from 1.
    pub fn nth(mut self, nth: usize) -> Self {
        self.which = Which::Nth(nth);
        self
    }

    /// Each one, not only the first.
    pub fn each(mut self) -> Self {
        self.which = Which::Each;
        self
    }

    fn parts(self) -> (String, Test, Which) {
        let tests = self.tests;
        (self.what, Box::new(move |request| tests.iter().all(|test| test(request))), self.which)
    }
}

struct Shared {
    upstream: String,
    traps: Traps<MongoRequest>,
    switch: Switch,
}

/// A running proxy; ends, with all connections through it, when dropped.
pub struct MongoProxy {
    port: u16,
    shared: Arc<Shared>,
    stop: DropGuard,
}

impl MongoProxy {
    /// Starts one in front of a store, in this test's runtime.
    pub async fn start(store: &Mongo) -> Result<MongoProxy> {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared { upstream: store.address(), traps: Traps::new(), switch: Switch::new() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, shared.clone())));
        Ok(MongoProxy { port, shared, stop: stop.drop_guard() })
    }

    /// The URI that goes through the proxy.
    pub fn uri(&self) -> String {
        uri(self.port)
    }

    /// A client that goes through the proxy.
    pub async fn client(&self) -> Result<mongodb::Client> {
        client_of(&self.uri()).await
    }

    /// Counts what matches, from now on.
    pub fn count(&self, rule: MongoRule) -> Hit<MongoRequest> {
        let (what, matches, _) = rule.parts();
        self.shared.traps.count(what, matches)
    }

    /// Holds what matches at a point, until the test releases or cuts it.
    pub fn hold(&self, rule: MongoRule, point: Point) -> Hit<MongoRequest> {
        let (what, matches, which) = rule.parts();
        self.shared.traps.hold(what, matches, which, point)
    }

    /// Closes the connection of what matches at a point.
    pub fn cut(&self, rule: MongoRule, point: Point) -> Hit<MongoRequest> {
        let (what, matches, which) = rule.parts();
        self.shared.traps.cut(what, matches, which, point)
    }

    /// Forgets all traps; what is held goes on.
    pub fn clear(&self) {
        self.shared.traps.clear();
    }

    /// Closes all connections there are; new ones are served.
    pub fn cut_all(&self) {
        self.shared.switch.cut_all();
    }

    /// True: an outage; connections are cut, and new ones closed as soon as they come. False: it is over.
    pub fn refuse(&self, refuse: bool) {
        self.shared.switch.refuse(refuse);
    }
}

impl Drop for MongoProxy {
    fn drop(&mut self) {
        self.cut_all();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let each = |client| {
        let shared = shared.clone();
        async move {
            // An error is a connection that was cut, by a trap or by one of the two sides.
            let _ = shared.speak(client).await;
        }
    };
    shared.switch.serve(listener, each).await;
}

impl Shared {
    async fn speak(&self, mut client: TcpStream) -> Result<()> {
        let mut server = TcpStream::connect(&self.upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        while let Some(message) = read_message(&mut client).await? {
            let triggered = parse(&message).map(|request| self.traps.triggered(&request)).unwrap_or_default();
            while_connected(&client, pass(&triggered, Point::BeforeEffect)).await.and_then(go_on)?;
            server.write_all(&message).await?;
            if more_to_come(&message) {
                continue;
            }
            loop {
                // A waiting getMore ends when its client goes away.
                let answer = while_connected(&client, read_message(&mut server)).await??;
                let Some(answer) = answer else { bail!("the server closed the connection") };
                while_connected(&client, pass(&triggered, Point::AfterEffect)).await.and_then(go_on)?;
                client.write_all(&answer).await?;
                if !more_to_come(&answer) {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn go_on(verdict: Verdict) -> Result<()> {
    if verdict == Verdict::Cut {
        bail!("cut by a trap");
    }
    Ok(())
}

/// Waits for something of ours or the server's while the client is there.
async fn while_connected<T>(client: &TcpStream, work: impl Future<Output = T>) -> Result<T> {
    let gone = async {
        let mut byte = [0];
        // Bytes that are there already: the client is alive and waits for us.
        match client.peek(&mut byte).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = work => Ok(result),
        () = gone => bail!("the client closed the connection"),
    }
}
