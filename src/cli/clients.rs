//! The controller's clients of the API server: who may write with them, and how long each waits for what.
//!
//! A connection can die without a word, in the middle of an answer too, so nothing may be waited for without an end. And a
//! process can stand still for longer than any of these times, with the answer ready for it when it goes on.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::BoxError;
use tower::filter::FilterLayer;
use tower::timeout::TimeoutLayer;
use tower::util::MapFutureLayer;

use super::Failure;
use crate::controller::leadership::Leadership;
use crate::domain::SharedClock;

/// How long an answer of the API server may take to begin, a watch's too. A read time-out begins with a connection: without
/// this, what never got one would wait for ever, and hold its line up with it.
const ANSWER_BEGINS: Duration = Duration::from_secs(10);
/// The same for the lease, which runs out while an answer is waited for.
const LEASE_ANSWER: Duration = Duration::from_secs(4);
/// How long nothing may come of the answer to a single request.
const QUIET: Duration = Duration::from_secs(30);
/// The same for watches and the lists that they begin with. The API server ends each watch after 290 s, and kube takes one
/// for dead some seconds later: this is for what kube does not look after, a list that stops in the middle.
const WATCH_QUIET: Duration = Duration::from_secs(330);

/// Clients of one configuration. None repeats by itself: a repeated PUT answers with a conflict, and a slot would be held
/// for minutes.
pub struct Clients {
    /// A short limit on reading would cut watches on which nothing happens.
    pub watches: Client,
    /// For single requests; writes only while this process may.
    pub requests: Client,
    /// For the lease alone: writes whoever leads, and gives up before a lease runs out.
    pub lease: Client,
}

impl Clients {
    /// From the environment.
    pub async fn new(lead: &Leadership, clock: &SharedClock) -> Result<Self, Failure> {
        let mut config = Config::infer().await.map_err(|e| {
            Failure::Usage(format!("no Kubernetes API server is configured ({e}): set KUBECONFIG, or run in a cluster"))
        })?;
        let watches = watching(config.clone(), WATCH_QUIET).map_err(Failure::failed)?;
        config.connect_timeout = Some(LEASE_ANSWER);
        let lease = quiet(config.clone(), LEASE_ANSWER);
        let begins = TimeoutLayer::new(LEASE_ANSWER);
        let lease = ClientBuilder::try_from(lease).map_err(Failure::failed)?.with_layer(&begins).build();
        let (lead, clock) = (lead.clone(), clock.clone());
        let guard = FilterLayer::new(move |request: hyper::Request<kube::client::Body>| {
            if request.method().is_safe() || lead.holds(clock.monotonic()) { Ok(request) } else { Err(NotLeading) }
        });
        let requests = ClientBuilder::try_from(quiet(config, QUIET)).map_err(Failure::failed)?;
        let begins = MapFutureLayer::new(|answer| begins_within(ANSWER_BEGINS, answer));
        let requests = requests.with_layer(&guard).with_layer(&begins).build();
        Ok(Self { watches, requests, lease })
    }
}

/// Nothing may come for so long, counted from the last request on the same connection.
fn quiet(mut config: Config, quiet: Duration) -> Config {
    config.default_retry = false;
    config.read_timeout = Some(quiet);
    config.reset_reader_on_write = true;
    config
}

fn watching(config: Config, nothing_for: Duration) -> kube::Result<Client> {
    let begins = MapFutureLayer::new(|answer| begins_within(ANSWER_BEGINS, answer));
    Ok(ClientBuilder::try_from(quiet(config, nothing_for))?.with_layer(&begins).build())
}

/// An answer, if it begins in time. Counted is time that this process lives through: one that stood still for longer than
/// `time` still takes the answer that came meanwhile. To call that one lost would be wrong, and whoever wrote an intent
/// would not even come to ask whether it is too late to act on it.
async fn begins_within<T, E: Into<BoxError>>(
    time: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, BoxError> {
    const PARTS: u32 = 20;
    let lived = async {
        for _ in 0..PARTS {
            tokio::time::sleep(time / PARTS).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer.map_err(Into::into),
        () = lived => Err(NoAnswer.into()),
    }
}

/// A write that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("not written: another replica leads, or the lease can't be proven; this one ends or goes on by itself")]
struct NotLeading;

/// A request whose answer did not begin in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not begin to answer in time; asked again by itself")]
struct NoAnswer;

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use kube::api::ListParams;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_the_process_stood_still_does_not_count() {
        let time = Duration::from_secs(10);
        let (tell, told) = tokio::sync::oneshot::channel::<u8>();
        let waiting = tokio::spawn(begins_within(time, told));
        tokio::task::yield_now().await;
        // All timers are due at once, and the answer is read a moment later.
        tokio::time::advance(3 * time).await;
        tokio::task::yield_now().await;
        tell.send(7).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
        let (_tell, told) = tokio::sync::oneshot::channel::<u8>();
        let asked = tokio::time::Instant::now();
        assert!(begins_within(time, told).await.is_err());
        assert!(asked.elapsed() >= time && asked.elapsed() < time * 2, "{:?}", asked.elapsed());
    }

    /// Answers with the beginning of a list, and no more.
    #[tokio::test]
    async fn a_list_that_stops_in_the_middle_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{\"items\": [";
            stream.write_all(head.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let client = watching(Config::new(url.parse().unwrap()), Duration::from_millis(300)).unwrap();
        let api: Api<Namespace> = Api::all(client);
        let listed = tokio::time::timeout(Duration::from_secs(30), api.list(&ListParams::default())).await;
        assert!(listed.expect("a silent connection was waited for").is_err());
        server.abort();
    }
}
