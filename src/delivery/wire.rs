//! The upgraded connection on its way to socketioxide: a stream that can be cut from outside, that holds the place of
//! its connection in the count, and that completes a refused handshake's `connect_error` (see `refusal`).
//!
//! It ends when it is cut, whichever half somebody waits on, and by itself when a client takes nothing for half a minute: what
//! waits for such a client is memory. Until somebody is admitted it reads no more than a handshake may have.
//!
//! Until the handshake is over, outgoing WebSocket frames are looked at one by one (a server's frames are not masked);
//! afterwards bytes pass through untouched. Must never hold bytes back once the handshake is over, and never look at
//! what a client sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::refusal::complete_connect_error;

/// Looks at outgoing frames until the answer to CONNECT has passed.
#[derive(Debug, Default)]
pub struct HandshakeFilter {
    held: Vec<u8>,
    over: bool,
}

/// A frame longer than this can't belong to a handshake.
const MAX_HANDSHAKE_FRAME: usize = 4096;

impl HandshakeFilter {
    /// Takes bytes that the server writes, appends to `out` what may go to the client now.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.over {
            out.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        while !self.over {
            let Some((header, length)) = frame(&self.held) else {
                self.over = self.held.len() > MAX_HANDSHAKE_FRAME;
                break;
            };
            if length > MAX_HANDSHAKE_FRAME {
                self.over = true;
                break;
            }
            if self.held.len() < header + length {
                return;
            }
            let payload = &self.held[header..header + length];
            self.over = payload.starts_with(b"40") || payload.starts_with(b"44");
            match complete_connect_error(payload) {
                Some(completed) => text_frame(&completed, out),
                None => out.extend_from_slice(&self.held[..header + length]),
            }
            self.held.drain(..header + length);
        }
        if self.over {
            out.append(&mut self.held);
        }
    }

    /// Whether bytes pass through untouched from now on.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// Length of header and payload of an unmasked frame, once its header is complete (RFC 6455, section 5.2).
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(*bytes.get(1)? & 0x7f);
    match short {
        126 => Some((4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])))),
        127 => {
            let long: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            Some((10, usize::try_from(u64::from_be_bytes(long)).unwrap_or(usize::MAX)))
        }
        short => Some((2, short)),
    }
}

/// A text frame in one piece. Completed refusals are far below 64 KiB.
fn text_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => out.push(short),
        _ => {
            out.push(126);
            out.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Cuts one connection, whatever its client does; cancelled too when the connection has ended by itself. Found among the
/// request's extensions of a socket.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// The end.
    pub token: CancellationToken,
    admitted: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    blocked: Arc<AtomicBool>,
}

impl Cut {
    /// Somebody with a good token is on it.
    pub fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    /// Whether there is.
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Bytes that the client's side has taken so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether something waits for the client to take it.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// A client that takes nothing for so long gets nothing more. Acks are missing for as long before that.
const STALL: Duration = Duration::from_secs(30);
/// Bytes that a client may send before it is admitted: a message of the largest size, and what is around it.
const HANDSHAKE_BYTES: usize = 72 * 1024;

/// The stream that socketioxide gets. `G` is whatever has to live exactly as long as the connection.
pub struct Wire<S, G> {
    stream: S,
    filter: HandshakeFilter,
    pending: Vec<u8>,
    cut: Cut,
    // One for each half: they are waited on by different tasks, and each future wakes one of them.
    cut_read: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_write: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    read: usize,
    _guard: G,
}

impl<S, G> Wire<S, G> {
    /// Wraps the stream; it ends when `cut` is cancelled.
    pub fn new(stream: S, cut: Cut, guard: G) -> Self {
        let cancelled = || Box::pin(cut.token.clone().cancelled_owned());
        Self {
            stream,
            filter: HandshakeFilter::default(),
            pending: Vec::new(),
            cut_read: cancelled(),
            cut_write: cancelled(),
            cut,
            stalled: None,
            read: 0,
            _guard: guard,
        }
    }

    /// What came of writing, unless it is time to end.
    fn unless_over<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.cut.token.is_cancelled() {
            return Poll::Ready(Err(cut_off()));
        }
        self.cut.blocked.store(wrote.is_pending(), Ordering::Relaxed);
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        if self.cut_write.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut_off()));
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        ready!(stalled.as_mut().poll(cx));
        // Whoever reads from it must hear of it too.
        self.cut.token.cancel();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut by the server")
}

impl<S: AsyncWrite + Unpin, G: Unpin> Wire<S, G> {
    fn try_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        if self.filter.is_over() {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        self.filter.feed(buf, &mut self.pending);
        // The bytes are ours now: a part that can't be written yet goes out with the next write or flush.
        match self.poll_pending(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(buf.len())),
        }
    }

    fn try_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn try_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            self.stalled = None;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin, G: Unpin> AsyncRead for Wire<S, G> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.cut_read.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut_off()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if this.read <= HANDSHAKE_BYTES && !this.cut.is_admitted() {
            this.read += buf.filled().len() - before;
            if this.read > HANDSHAKE_BYTES {
                this.cut.token.cancel();
                return Poll::Ready(Err(cut_off()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, G: Unpin> AsyncWrite for Wire<S, G> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = this.try_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = wrote {
            this.cut.written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        this.unless_over(cx, wrote)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.try_flush(cx);
        this.unless_over(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = this.try_shut(cx);
        this.unless_over(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(payloads: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        payloads.iter().for_each(|p| text_frame(p.as_bytes(), &mut out));
        out
    }

    /// Whatever the pieces in which bytes are written, the result is the same.
    fn through(bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let (mut filter, mut out) = (HandshakeFilter::default(), Vec::new());
        bytes.chunks(piece).for_each(|part| filter.feed(part, &mut out));
        (out, filter.is_over())
    }

    #[test]
    fn a_refusal_is_completed_in_any_pieces() {
        let open = format!("0{{\"sid\":\"{}\"}}", "x".repeat(150));
        let given = frames(&[&open, "2", r#"44{"message":"retry_later 5"}"#, "41"]);
        let want = frames(&[
            &open,
            "2",
            r#"44{"message":"retry_later","data":{"code":"retry_later","retry_after_s":5}}"#,
            "41",
        ]);
        for piece in [1, 2, 3, 7, 100, 10_000] {
            assert_eq!(through(&given, piece), (want.clone(), true), "pieces of {piece}");
        }
    }

    #[test]
    fn an_admitted_connection_passes_untouched() {
        let big = format!("42[\"messages\",\"{}\"]", "y".repeat(70_000));
        let mut given = frames(&["0{}", "2", r#"40{"sid":"a"}"#]);
        given.push(0x81);
        given.push(127);
        given.extend_from_slice(&(big.len() as u64).to_be_bytes());
        given.extend_from_slice(big.as_bytes());
        given.extend(frames(&[r#"44{"message":"unauthorized"}"#]));
        for piece in [1, 1000, 1_000_000] {
            assert_eq!(through(&given, piece), (given.clone(), true), "pieces of {piece}");
        }
    }

    #[test]
    fn a_frame_too_long_for_a_handshake_ends_the_looking() {
        let given = frames(&[&"0".repeat(5000)]);
        assert_eq!(through(&given, 999), (given.clone(), true));
    }

    #[tokio::test]
    async fn the_stream_ends_when_it_is_cut() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (near, mut far) = tokio::io::duplex(64);
        let cut = Cut::default();
        let mut wire = Wire::new(near, cut.clone(), ());
        wire.write_all(&frames(&[r#"44{"message":"revoked"}"#])).await.unwrap();
        wire.flush().await.unwrap();
        let mut got = vec![0; frames(&[r#"44{"message":"revoked","data":{"code":"revoked"}}"#]).len()];
        far.read_exact(&mut got).await.unwrap();
        assert!(got.ends_with(br#""data":{"code":"revoked"}}"#));
        let reader = tokio::spawn(async move { wire.read_u8().await });
        cut.token.cancel();
        assert_eq!(reader.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    /// A wire whose client has taken what fits into its buffer, and nothing since.
    async fn full(cut: &Cut) -> (Wire<tokio::io::DuplexStream, ()>, tokio::io::DuplexStream) {
        use tokio::io::AsyncWriteExt;
        let (near, far) = tokio::io::duplex(64);
        let mut wire = Wire::new(near, cut.clone(), ());
        wire.write_all(&frames(&["0{}", "40{}"])).await.unwrap();
        wire.write_all(&vec![0; 64 - frames(&["0{}", "40{}"]).len()]).await.unwrap();
        (wire, far)
    }

    #[tokio::test]
    async fn a_cut_reaches_who_waits_to_write() {
        use tokio::io::AsyncWriteExt;
        let cut = Cut::default();
        let (wire, _far) = full(&cut).await;
        let (mut reader, mut writer) = tokio::io::split(wire);
        let reader = tokio::spawn(async move { tokio::io::AsyncReadExt::read_u8(&mut reader).await });
        let writer = tokio::spawn(async move { writer.write_all(b"more").await });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished() && !writer.is_finished());
        cut.token.cancel();
        assert_eq!(writer.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(reader.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_gets_nothing_more() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let cut = Cut::default();
        let (mut wire, mut far) = full(&cut).await;
        // A little now and then is enough.
        let slow = async {
            for _ in 0..5 {
                tokio::time::sleep(STALL - Duration::from_secs(1)).await;
                far.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let (wrote, ()) = tokio::join!(wire.write_all(&[0; 40]), slow);
        wrote.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(wire.write_all(&[0; 40]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL && cut.token.is_cancelled());
    }

    #[tokio::test]
    async fn a_stranger_says_no_more_than_a_handshake() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for admitted in [false, true] {
            let (near, mut far) = tokio::io::duplex(1024 * 1024);
            let cut = Cut::default();
            let mut wire = Wire::new(near, cut.clone(), ());
            if admitted {
                cut.admit();
            }
            far.write_all(&vec![0; HANDSHAKE_BYTES]).await.unwrap();
            let mut got = vec![0; HANDSHAKE_BYTES];
            wire.read_exact(&mut got).await.unwrap();
            far.write_all(&[0]).await.unwrap();
            assert_eq!((wire.read_u8().await.is_ok(), cut.token.is_cancelled()), (admitted, !admitted));
        }
    }
}
