//! How an answer goes over the wire: whole, cut off, drop by drop, or without end in sight.
//!
//! Decides nothing about what is answered. A body that never ends is made while it is sent and never held in memory;
//! whoever stops reading stops it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a body is on the wire.
pub type Body = BoxBody<Bytes, Dropped>;

/// Makes hyper close the connection where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Closed as usual.
    #[error("the connection is closed on purpose")]
    Closed,
    /// Closed with a TCP reset.
    #[error("the connection is reset on purpose")]
    Reset,
}

impl From<Infallible> for Dropped {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// How an answer is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wire {
    /// At once.
    #[default]
    Whole,
    /// The connection is closed after `at` bytes of the body.
    Truncated {
        /// Bytes that are sent.
        at: usize,
        /// Without Content-Length, in chunks.
        chunked: bool,
    },
    /// The head at once, the body slowly.
    SlowBody {
        /// Bytes a second.
        rate: u32,
    },
    /// Everything slowly, the head too.
    SlowHead {
        /// Bytes a second.
        rate: u32,
    },
    /// `bytes` bytes that begin like a JSON list, instead of the body.
    Huge {
        /// How many.
        bytes: u64,
        /// With Content-Length instead of chunks.
        length: bool,
    },
}

impl Wire {
    /// The Content-Length to tell where the body's own is not the one.
    pub fn content_length(&self, body: usize) -> Option<u64> {
        match self {
            Self::Truncated { at, chunked: false } => Some(body.max(at + 1) as u64),
            Self::Huge { bytes, length: true } => Some(*bytes),
            Self::SlowBody { .. } => Some(body as u64),
            _ => None,
        }
    }

    /// Bytes a second of the whole connection; 0: as fast as it goes.
    pub fn rate(&self) -> u32 {
        if let Self::SlowHead { rate } = self { (*rate).max(1) } else { 0 }
    }

    /// The body as it is sent.
    pub fn body(&self, body: Bytes) -> Body {
        match *self {
            Self::Whole | Self::SlowHead { .. } => Full::new(body).map_err(Dropped::from).boxed(),
            Self::Truncated { at, .. } => truncated(body.slice(..at.min(body.len()))),
            Self::SlowBody { rate } => dripped(body, rate.max(1)),
            Self::Huge { bytes, .. } => huge(bytes),
        }
    }
}

/// Long enough for what was written to be sent before the connection is closed.
const FLUSH: Duration = Duration::from_millis(50);

fn truncated(sent: Bytes) -> Body {
    let pieces = stream::unfold(Some(sent), |sent| async move {
        match sent {
            Some(sent) if !sent.is_empty() => Some((Ok(Frame::data(sent)), Some(Bytes::new()))),
            Some(_) => {
                tokio::time::sleep(FLUSH).await;
                Some((Err(Dropped::Closed), None))
            }
            None => None,
        }
    });
    BodyExt::boxed(StreamBody::new(SyncStream::new(pieces)))
}

fn dripped(body: Bytes, rate: u32) -> Body {
    // Ten drops a second, or one byte at a time.
    let drop_bytes = (rate / 10).max(1);
    let pause = Duration::from_secs(1).mul_f64(f64::from(drop_bytes) / f64::from(rate));
    let pieces = stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(rest.len().min(drop_bytes as usize));
        Some((Ok(Frame::data(piece)), rest))
    });
    BodyExt::boxed(StreamBody::new(SyncStream::new(pieces)))
}

const HUGE_START: &[u8] = br#"{"data":["#;
const HUGE_ITEM: &[u8] = br#"{"id":"0000000000000000000","record_type":"nothing"},"#;

fn huge(bytes: u64) -> Body {
    let block = Bytes::from(HUGE_ITEM.repeat(64 * 1024 / HUGE_ITEM.len()));
    let pieces = stream::unfold((bytes, true), move |(left, start)| {
        let block = block.clone();
        async move {
            if left == 0 {
                return None;
            }
            let whole = if start { Bytes::from_static(HUGE_START) } else { block };
            let piece = whole.slice(..whole.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            let left = left - piece.len() as u64;
            Some((Ok(Frame::data(piece)), (left, false)))
        }
    });
    BodyExt::boxed(StreamBody::new(SyncStream::new(pieces)))
}

/// A stream behind a lock that is never contended: hyper polls a body from one task only.
struct SyncStream(std::sync::Mutex<BoxStream<'static, Result<Frame<Bytes>, Dropped>>>);

impl SyncStream {
    fn new(stream: impl futures::Stream<Item = Result<Frame<Bytes>, Dropped>> + Send + 'static) -> Self {
        Self(std::sync::Mutex::new(Box::pin(stream)))
    }
}

impl futures::Stream for SyncStream {
    type Item = Result<Frame<Bytes>, Dropped>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.get_mut() {
            Ok(stream) => stream.as_mut().poll_next(cx),
            Err(_) => Poll::Ready(None),
        }
    }
}

/// A connection whose writing can be slowed down to single bytes.
pub struct Paced<S> {
    /// The connection itself.
    pub inner: S,
    rate: Arc<AtomicU32>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S> Paced<S> {
    /// `rate` is bytes a second, 0 for no pauses; it can change at any time.
    pub fn new(inner: S, rate: Arc<AtomicU32>) -> Self {
        Self { inner, rate, pause: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 || buf.is_empty() {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs_f64(1.0 / f64::from(rate)))));
        if pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        Pin::new(&mut self.inner).poll_write(cx, &buf[..1])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
