//! A TCP switch in front of one or several servers, as a load balancer has it: each connection goes to the next server
//! that is there, and any of them can be cut at once.
//!
//! Works on bytes and passes them on unchanged. Must never let a connection live on when its server is gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Shared {
    servers: Vec<u16>,
    turn: AtomicUsize,
    connections: Mutex<BTreeMap<usize, CancellationToken>>,
}

/// A running switch; ends, with all connections through it, when dropped.
pub struct Balancer {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl Balancer {
    /// Starts one in front of what listens on these ports of 127.0.0.1, or will.
    pub async fn start(servers: &[u16]) -> Result<Balancer> {
        let stop = CancellationToken::new();
        let shared =
            Arc::new(Shared { servers: servers.to_vec(), turn: AtomicUsize::new(0), connections: Mutex::default() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, shared.clone(), stop.clone())));
        Ok(Balancer { port, shared, _stop: stop.drop_guard() })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections go through it now.
    pub fn connections(&self) -> usize {
        self.shared.lock().len()
    }

    /// Resets one of the connections, the `which`-th (counted round and round); false when there is none.
    pub fn cut(&self, which: usize) -> bool {
        let connections = self.shared.lock();
        let cut = which.checked_rem(connections.len()).and_then(|nth| connections.values().nth(nth));
        cut.inspect(|connection| connection.cancel()).is_some()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, CancellationToken>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the next server that takes one.
    async fn connect(&self, turn: usize) -> Option<TcpStream> {
        for n in 0..self.servers.len() {
            let port = self.servers[(turn + n) % self.servers.len()];
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                return Some(server);
            }
        }
        None
    }

    async fn pass(&self, mut client: TcpStream, turn: usize, cut: CancellationToken) {
        // None: closed at once, as a balancer without servers does.
        let Some(mut server) = self.connect(turn).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let whole = cut.run_until_cancelled(copy_bidirectional(&mut client, &mut server)).await;
        if whole.is_none() {
            // What is on its way in either direction is lost, and both ends see it.
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    while let Ok((client, _)) = listener.accept().await {
        let (shared, cut) = (shared.clone(), stop.child_token());
        let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
        shared.lock().insert(turn, cut.clone());
        tokio::spawn(async move {
            shared.pass(client, turn, cut).await;
            shared.lock().remove(&turn);
        });
    }
}
