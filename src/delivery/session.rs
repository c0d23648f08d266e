//! One recruiter's connection from `welcome` to `goodbye`: live push and catch-up are the same loop.
//!
//! At most one page is on its way. It goes out again when its ack is missing, and the cursor moves on the ack alone, so
//! nothing is skipped; what was acked late or twice is dropped by the client's rule (ignore a seq that you have).
//! Must never send an item of another company: everything comes from the tail and the database of the token's company.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::IgnoredAny;
use socketioxide::extract::SocketRef;
use socketioxide::{AckError, SendError, SocketError};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::auth::Recruiter;
use super::hub::{Admitted, Hub};
use super::limits::{EventLimit, Verdict};
use super::lines::{self, LineView};
use super::metrics::{Metrics, Share};
use super::page::{Next, Page};
use super::presence::Seat;
use super::seating::Start;
use super::settings::AGAIN;
use super::stops;
use super::tail::{Status, Tail};
use super::wire::Cut;
use crate::store::{Cursor, Seq};

/// Missing acks in a row before a client is told that it is too slow.
const MISSING_ACKS: u32 = 3;

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goodbye {
    /// The token's time is over.
    TokenExpired,
    /// The token was revoked, or the company erased.
    Revoked,
    /// This replica is going away.
    Draining,
    /// Three acks in a row were missing.
    TooSlow,
    /// The same recruiter and device connected again.
    Replaced,
}

impl Goodbye {
    fn as_str(self) -> &'static str {
        match self {
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::Draining => "draining",
            Self::TooSlow => "too_slow",
            Self::Replaced => "replaced",
        }
    }
}

/// What the handlers of a connection share. It holds no socket, since the socket holds the handlers.
pub struct Session {
    pub(super) hub: Arc<Hub>,
    pub(super) token: watch::Sender<Recruiter>,
    pub(super) tail: Arc<Tail>,
    /// Ends the TCP connection.
    pub(super) cut: Cut,
    /// The connection is over, whoever ended it.
    pub(super) closed: CancellationToken,
    pub(super) device: String,
    pub(super) start: Cursor,
    /// The start is written nowhere yet.
    pub(super) fresh: bool,
    head: Seq,
    seat: Seat,
    events: Mutex<EventLimit>,
    /// One `history` at a time.
    history: Semaphore,
    /// How much the client must have taken before the next one: as much as the last answer was.
    history_after: AtomicU64,
    /// It was cut for too many events.
    flooded: AtomicBool,
}

#[derive(Serialize)]
struct Welcome<'a> {
    company_id: &'a str,
    recruiter: &'a str,
    device: &'a str,
    cursor: String,
    head: Seq,
    lines: &'a [LineView],
}

enum End {
    Goodbye(Goodbye),
    /// The client is gone.
    Closed,
}

impl Session {
    /// A session for an admitted connection.
    pub fn new(hub: Arc<Hub>, admitted: Admitted, cut: Cut) -> Self {
        let Admitted { recruiter, device, start, tail, seat } = admitted;
        let Start { at: start, head, fresh } = start;
        let events = EventLimit::new(hub.settings.events_per_second, hub.clock.monotonic());
        Self {
            token: watch::Sender::new(recruiter),
            tail,
            cut,
            closed: CancellationToken::new(),
            device,
            start,
            fresh,
            head,
            seat,
            events: Mutex::new(events),
            history: Semaphore::new(1),
            history_after: AtomicU64::new(0),
            flooded: AtomicBool::new(false),
            hub,
        }
    }

    /// Counts an event of the client; a flood cuts the connection.
    pub(super) fn count_event(&self) -> Verdict {
        let now = self.hub.clock.monotonic();
        let verdict = self.events.lock().unwrap_or_else(PoisonError::into_inner).count(now);
        if verdict == Verdict::Flood {
            self.flooded.store(true, Ordering::Relaxed);
            self.cut.token.cancel();
        }
        verdict
    }

    /// Held while a `history` is read and answered; None when one is already, or when its client has not taken the last one:
    /// what is answered waits in memory.
    pub(super) fn history_turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.history.try_acquire().ok()?;
        let waits = self.cut.is_blocked() && self.cut.written() < self.history_after.load(Ordering::Relaxed);
        (!waits).then_some(turn)
    }

    /// A `history` of so many bytes is on its way, behind what the client had taken before.
    pub(super) fn history_sent(&self, before: u64, bytes: usize) {
        self.history_after.store(before + bytes as u64, Ordering::Relaxed);
    }

    /// Runs the connection to its end.
    pub async fn run(self: Arc<Self>, socket: SocketRef) {
        // Also after a panic: a client that is connected and hears nothing would not come back.
        let _cut = self.cut.token.clone().drop_guard();
        let connected = Share::of(&self.hub.metrics.sockets, 1);
        let company = self.token.borrow().company.clone();
        tracing::debug!(%company, socket = %socket.id, start = self.start.seq, head = self.head, "a recruiter came");
        let (stops, stop) = watch::channel(self.start.clone());
        let keeper = tokio::spawn(stops::keep(self.clone(), stop));
        let end = self.serve(&socket, stops).await;
        let reason = match end {
            End::Goodbye(reason) => reason.as_str(),
            End::Closed if self.flooded.load(Ordering::Relaxed) => "flood",
            End::Closed => "closed",
        };
        tracing::debug!(%company, socket = %socket.id, reason, "a recruiter went");
        // Here and nowhere else: each connection ends once.
        self.hub.metrics.disconnect(reason);
        if let End::Goodbye(reason) = end {
            let _ = socket.emit("goodbye", &serde_json::json!({ "reason": reason }));
            // A full buffer is a client that reads nothing: cut at once, below.
            if socket.disconnect().is_ok() {
                tokio::time::sleep(self.hub.settings.farewell).await;
            }
        }
        self.cut.token.cancel();
        if keeper.await.is_err() {
            tracing::error!(%company, "a device's stop is no longer written: its task panicked");
        }
        drop(connected);
    }

    async fn serve(&self, socket: &SocketRef, stops: watch::Sender<Cursor>) -> End {
        let mut lines_changed = self.hub.line_changes();
        lines_changed.mark_unchanged();
        let (company, recruiter) = {
            let token = self.token.borrow();
            (token.company.clone(), token.recruiter.clone())
        };
        let lines = self.hub.lines(&company);
        let welcome = Welcome {
            company_id: company.as_str(),
            recruiter: &recruiter,
            device: &self.device,
            cursor: self.start.to_string(),
            head: self.head,
            lines: &lines,
        };
        if socket.emit("welcome", &welcome).is_err() {
            return End::Closed;
        }
        let follow_lines = async {
            let tell = |lines: &[LineView]| socket.emit("lines", lines).is_ok();
            lines::follow(lines.clone(), lines_changed, || self.hub.lines(&company), tell).await;
            std::future::pending::<End>().await
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => End::Closed,
            goodbye = self.must_go() => End::Goodbye(goodbye),
            end = self.pump(socket, stops) => end,
            end = follow_lines => end,
        }
    }

    /// Resolves when the server has a reason to end the connection.
    async fn must_go(&self) -> Goodbye {
        let mut status = self.tail.status();
        tokio::select! {
            () = self.hub.revoked(self.token.subscribe()) => Goodbye::Revoked,
            Ok(_) = status.wait_for(|status| matches!(status, Status::Erased)) => Goodbye::Revoked,
            () = self.expired() => Goodbye::TokenExpired,
            () = self.seat.replaced().cancelled() => Goodbye::Replaced,
            () = self.hub.drained() => Goodbye::Draining,
        }
    }

    /// Resolves when the newest token's time is over. Looks at the wall clock again after each wait, which may jump.
    async fn expired(&self) {
        let mut token = self.token.subscribe();
        loop {
            let exp = token.borrow_and_update().exp;
            let left_ms = exp.saturating_mul(1000).saturating_sub(self.hub.clock.now().as_millisecond());
            let Ok(left_ms) = u64::try_from(left_ms) else { return };
            if left_ms == 0 {
                return;
            }
            let pause = Duration::from_millis(left_ms.min(30_000));
            let _ = tokio::time::timeout(pause, token.changed()).await;
        }
    }

    async fn pump(&self, socket: &SocketRef, stops: watch::Sender<Cursor>) -> End {
        let mut status = self.tail.status();
        let mut head = self.tail.head();
        let mut at = self.start.seq;
        let mut caught_up = false;
        // The tail stands where its last news was, which may be before what `welcome` named.
        self.tail.news(self.head);
        if status.wait_for(|status| !matches!(status, Status::Opening)).await.is_err() {
            return End::Closed;
        }
        loop {
            let read = *head.borrow_and_update();
            let page = match self.tail.after(at) {
                Next::Page(page) => page,
                Next::Behind => match self.page_behind(at).await {
                    Some(page) => page,
                    None => continue,
                },
                Next::CaughtUp => {
                    let due = !caught_up && read >= self.head;
                    if due {
                        caught_up = socket.emit("caught_up", &serde_json::json!({ "seq": at })).is_ok();
                    }
                    let moved = if due && !caught_up {
                        tokio::time::timeout(AGAIN, head.changed()).await.unwrap_or(Ok(()))
                    } else {
                        head.changed().await
                    };
                    if moved.is_err() {
                        return End::Closed;
                    }
                    continue;
                }
            };
            let lag = Share::of(&self.hub.metrics.cursor_lag, (*head.borrow() - at).max(0));
            let began = self.hub.clock.monotonic();
            let delivered = self.deliver(socket, &page).await;
            drop(lag);
            if let Err(end) = delivered {
                return end;
            }
            if caught_up && let Some(newest) = page.items.last() {
                Metrics::observe(&self.hub.metrics.commit_to_ack, newest.at, self.hub.clock.now());
            }
            tracing::debug!(
                company = %self.tail.company(),
                socket = %socket.id,
                first_seq = page.items.first().map(|item| item.seq),
                last_seq = page.last(),
                items = page.items.len(),
                ms = self.hub.clock.monotonic().saturating_duration_since(began).as_millis(),
                "a page was acked"
            );
            at = page.last();
            stops.send_replace(page.cursor);
        }
    }

    /// A page for this socket, which is behind the ring.
    async fn page_behind(&self, after: Seq) -> Option<Page> {
        let page = self.tail.behind(after, self.hub.clock.monotonic()).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a page could not be read, it is tried again");
            None
        });
        if page.is_none() {
            // The store is away, or the ring is ahead of what this read saw.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        page
    }

    /// Sends a page until one of its acks arrives.
    async fn deliver(&self, socket: &SocketRef, page: &Page) -> Result<(), End> {
        let patience = self.hub.settings.ack_timeout;
        let mut acks = FuturesUnordered::new();
        for _ in 0..MISSING_ACKS {
            // Each try's ack is waited for until the last try's time is over: a slow client makes progress too.
            match socket.timeout(patience * MISSING_ACKS).emit_with_ack::<_, IgnoredAny>("messages", page) {
                Ok(ack) => acks.push(ack),
                Err(SendError::Socket(SocketError::Closed)) => return Err(End::Closed),
                Err(_) => self.hub.metrics.page("buffer_full"),
            }
            let deadline = tokio::time::Instant::now() + patience;
            loop {
                let next = async {
                    match acks.next().await {
                        Some(answer) => answer,
                        None => std::future::pending().await,
                    }
                };
                match tokio::time::timeout_at(deadline, next).await {
                    // An ack with arguments is an ack.
                    Ok(Ok(_) | Err(AckError::Decode(_))) => {
                        self.hub.metrics.page("acked");
                        return Ok(());
                    }
                    Ok(Err(AckError::Socket(_))) => return Err(End::Closed),
                    Ok(Err(_)) => {}
                    Err(_) => break,
                }
            }
            self.hub.metrics.page("timeout");
        }
        Err(End::Goodbye(Goodbye::TooSlow))
    }
}
