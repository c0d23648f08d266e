//! The main switch of a proxy: all its connections can be cut at once, and new ones refused, to play an outage.
//!
//! Must never let a connection live on that was there when it was cut.

use std::sync::{Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub(super) struct Switch(Mutex<State>);

struct State {
    refuse: bool,
    /// Ends the connections there are; replaced by a new one for those to come.
    connections: CancellationToken,
}

impl Switch {
    pub(super) fn new() -> Self {
        Switch(Mutex::new(State { refuse: false, connections: CancellationToken::new() }))
    }

    /// Closes all connections there are; new ones are served.
    pub(super) fn cut_all(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.connections.cancel();
        state.connections = CancellationToken::new();
    }

    /// True: an outage begins; false: it is over.
    pub(super) fn refuse(&self, refuse: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refuse = refuse;
        if refuse {
            self.cut_all();
        }
    }

    /// Serves each connection in a task until it ends or is cut.
    pub(super) async fn serve<F: Future<Output = ()> + Send + 'static>(
        &self,
        listener: TcpListener,
        serve_one: impl Fn(TcpStream) -> F,
    ) {
        while let Ok((stream, _)) = listener.accept().await {
            let end = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if state.refuse {
                    continue;
                }
                state.connections.clone()
            };
            tokio::spawn(end.run_until_cancelled_owned(serve_one(stream)));
        }
    }
}
