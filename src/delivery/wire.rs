//! The upgraded connection on its way to socketioxide: a stream that can be cut from outside, that holds the place of
//! its connection in the count, and that completes a refused handshake's `connect_error` (see `refusal`).
//!
//! Until the handshake is over, outgoing WebSocket frames are looked at one by one (a server's frames are not masked);
//! afterwards bytes pass through untouched. Must never hold bytes back once the handshake is over, and never look at
//! what a client sends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

/// The stream that socketioxide gets. `G` is whatever has to live exactly as long as the connection.
pub struct Wire<S, G> {
    stream: S,
    filter: HandshakeFilter,
    pending: Vec<u8>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _guard: G,
}

impl<S, G> Wire<S, G> {
    /// Wraps the stream; it ends when `cut` is cancelled.
    pub fn new(stream: S, cut: CancellationToken, guard: G) -> Self {
        Self {
            stream,
            filter: HandshakeFilter::default(),
            pending: Vec::new(),
            cut: Box::pin(cut.cancelled_owned()),
            _guard: guard,
        }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut by the server")
}

impl<S: AsyncWrite + Unpin, G: Unpin> Wire<S, G> {
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
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
        if this.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut_off()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, G: Unpin> AsyncWrite for Wire<S, G> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        if this.filter.is_over() {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        }
        this.filter.feed(buf, &mut this.pending);
        // The bytes are ours now: a part that can't be written yet goes out with the next write or flush.
        match this.poll_pending(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pending(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
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
        let cut = CancellationToken::new();
        let mut wire = Wire::new(near, cut.clone(), ());
        wire.write_all(&frames(&[r#"44{"message":"revoked"}"#])).await.unwrap();
        wire.flush().await.unwrap();
        let mut got = vec![0; frames(&[r#"44{"message":"revoked","data":{"code":"revoked"}}"#]).len()];
        far.read_exact(&mut got).await.unwrap();
        assert!(got.ends_with(br#""data":{"code":"revoked"}}"#));
        let reader = tokio::spawn(async move { wire.read_u8().await });
        cut.cancel();
        assert_eq!(reader.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
