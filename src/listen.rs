//! The accept loop of every port: our own, since the ready-made ones have no limits.
//!
//! HTTP/1.1 only (with upgrades, for WebSockets), TCP_NODELAY (Nagle adds 40 ms to small answers), a cap on connections,
//! and deadlines: the first request must be there 10 s after the connection, an idle one is closed after 75 s (longer
//! than the usual ingress keeps its own side, so that it never sends into a connection that is being closed). At the stop it
//! goes on serving for a while, since whoever sends here hears of it late, and ends each connection with its next answer.
//! It knows nothing of what is served. A deadline for the body belongs to the handler that reads it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Limits of one port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Named in logs: `webhook`, `sockets`, `admin`.
    pub name: &'static str,
    /// Connections at most; one more is answered with 503 and closed.
    pub connections: usize,
    /// From the connection to the first request's headers.
    pub first_request: Duration,
    /// Headers of later requests, counted from the end of the one before.
    pub idle: Duration,
    /// After the stop connections and requests are still taken for so long.
    pub linger: Duration,
    /// After that: requests that run are waited for so long.
    pub drain: Duration,
}

impl Limits {
    /// The usual limits.
    pub fn new(name: &'static str, connections: usize) -> Self {
        Self {
            name,
            connections,
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            linger: Duration::ZERO,
            drain: Duration::from_secs(10),
        }
    }
}

/// Opens the port. The error names the address and what to do.
pub async fn bind(name: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { name, address, source })
}

/// A port that can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {name} port {address} can't be opened ({source}): stop what holds it or give another address")]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves `app` until `stop` and as long as it lingers, then finishes what runs. Upgraded connections end by themselves:
/// whoever owns them must watch `stop` too.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    let (hard_stop, over) = (CancellationToken::new(), CancellationToken::new());
    let lingering = async {
        stop.cancelled().await;
        tokio::time::sleep(limits.linger).await;
    };
    tokio::pin!(lingering);
    loop {
        let accepted = tokio::select! {
            () = &mut lingering => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: the next try would fail at once too.
                tracing::warn!(port = limits.name, kind = %error.kind(), "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let ends = Ends { stop: stop.clone(), over: over.clone() };
                let connection = connection(stream, peer, app.clone(), limits.clone(), ends);
                let hard_stop = hard_stop.clone();
                tasks.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = hard_stop.cancelled() => {}
                    }
                    drop(slot);
                });
            }
            Err(_) => {
                tracing::warn!(port = limits.name, limit = limits.connections, "too many connections, one is refused");
                tokio::spawn(refuse(stream));
            }
        }
    }
    drop(listener);
    over.cancel();
    tasks.close();
    if tokio::time::timeout(limits.drain, tasks.wait()).await.is_err() {
        tracing::warn!(port = limits.name, left = tasks.len(), "requests were cut at the end of the drain time");
        hard_stop.cancel();
        tasks.wait().await;
    }
}

/// How a connection is ended.
struct Ends {
    /// With the next answer.
    stop: CancellationToken,
    /// As soon as nothing runs on it.
    over: CancellationToken,
}

async fn connection(stream: TcpStream, peer: SocketAddr, app: Router, limits: Limits, ends: Ends) {
    let Ends { stop, over } = ends;
    let seen = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&seen);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        mark.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (answer, stop) = (app.clone().oneshot(request), stop.clone());
        async move {
            let mut answer = answer.await?;
            if stop.is_cancelled() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                // Whoever sends on this connection takes another one, of another replica, before this port closes.
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_headers(100)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(served);
    let first = tokio::time::sleep(limits.first_request);
    tokio::pin!(first);
    let (mut waiting, mut stopping) = (true, false);
    loop {
        tokio::select! {
            // An error here is the peer's: it went away or sent nonsense.
            _ = served.as_mut() => return,
            () = &mut first, if waiting => {
                if !seen.load(Ordering::Relaxed) {
                    return;
                }
                waiting = false;
            }
            () = over.cancelled(), if !stopping => {
                if !seen.load(Ordering::Relaxed) {
                    // It brought nothing yet, and nothing is lost: hyper would wait for it.
                    return;
                }
                served.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

/// Tells an ingress to try another replica, instead of letting it wait.
async fn refuse(mut stream: TcpStream) {
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let write = async {
        stream.write_all(answer).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), write).await;
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
