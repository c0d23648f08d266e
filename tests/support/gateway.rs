//! A gateway in front of a provider that can go bad: be away, hang, reset, or answer with a body that does not end.
//!
//! Works on bytes: while it is open it passes them on unchanged. A change of mode cuts all connections, so that no kept
//! connection goes on in the old one. Must never buffer what it passes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How the gateway behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Open,
    /// Closes each connection as soon as it comes: nothing is taken.
    Away,
    /// Takes the request and never answers.
    Hang,
    /// Takes the request and resets the connection.
    Reset,
    /// Answers 200 with JSON of more than 100 MB that never becomes whole.
    Flood,
}

struct Shared {
    upstream: String,
    mode: Mutex<(Mode, CancellationToken)>,
    waiting: AtomicUsize,
    most: AtomicUsize,
    met: AtomicUsize,
}

/// A running gateway; ends when dropped.
pub struct Gateway {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl Gateway {
    /// Starts one in front of `http://host:port/...`.
    pub async fn start(url: &str) -> Result<Gateway> {
        let upstream = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            upstream,
            mode: Mutex::new((Mode::Open, CancellationToken::new())),
            waiting: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            met: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, shared.clone())));
        Ok(Gateway { port, shared, _stop: stop.drop_guard() })
    }

    /// The same URL through the gateway.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Changes the mode and cuts all connections; counts anew.
    pub fn set(&self, mode: Mode) {
        let mut current = self.shared.mode.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, (mode, CancellationToken::new()));
        before.1.cancel();
        self.shared.most.store(0, Ordering::SeqCst);
        self.shared.met.store(0, Ordering::SeqCst);
    }

    /// The most requests that were waiting here at once in this mode.
    pub fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// The requests that met this mode.
    pub fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let (mode, over) = shared.mode.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::spawn(async move { over.run_until_cancelled(one(stream, mode, &shared)).await });
    }
}

async fn one(mut stream: TcpStream, mode: Mode, shared: &Shared) -> std::io::Result<()> {
    if mode == Mode::Open {
        let mut upstream = TcpStream::connect(&shared.upstream).await?;
        copy_bidirectional(&mut stream, &mut upstream).await?;
        return Ok(());
    }
    if mode == Mode::Away {
        shared.met.fetch_add(1, Ordering::SeqCst);
        return stream.set_zero_linger();
    }
    let mut request = [0; 16 * 1024];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    shared.met.fetch_add(1, Ordering::SeqCst);
    let _here = Here::new(shared);
    match mode {
        // Until the client gives up.
        Mode::Open | Mode::Away | Mode::Hang => while stream.read(&mut request).await? > 0 {},
        Mode::Reset => stream.set_zero_linger()?,
        Mode::Flood => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 120000000\r\n\r\n{\"data\":[";
            stream.write_all(head.as_bytes()).await?;
            let more = [b' '; 64 * 1024];
            for _ in 0..1800 {
                stream.write_all(&more).await?;
            }
        }
    }
    Ok(())
}

/// Counts a request while it is here.
struct Here<'a>(&'a Shared);

impl<'a> Here<'a> {
    fn new(shared: &'a Shared) -> Self {
        let now = shared.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
