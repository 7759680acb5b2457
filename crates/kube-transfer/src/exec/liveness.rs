//! When a silent peer counts as dead.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

use crate::limit::deadline;

/// The moment from which the peer's silence counts.
///
/// Moved on by every byte received, also those of an incomplete message, and by [`hear`](Self::hear) when this side
/// begins to wait: while nobody reads here, the peer cannot be blamed for silence.
pub(crate) struct Liveness {
    epoch: Instant,
    /// Milliseconds since `epoch`; an atomic, as the reading half of a split stream cannot reach the socket inside it.
    heard_millis: AtomicU64,
}

impl Liveness {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            heard_millis: AtomicU64::new(0),
        })
    }

    pub(crate) fn hear(&self) {
        let millis = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_millis.store(millis, Ordering::Relaxed);
    }

    /// Returns when the peer has been silent for `limit`.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            let heard =
                self.epoch + Duration::from_millis(self.heard_millis.load(Ordering::Relaxed));
            if heard.elapsed() >= limit {
                return;
            }
            sleep_until(deadline(heard, limit)).await;
        }
    }
}

/// A socket that records every byte received in a [`Liveness`].
pub(crate) struct Watched<T> {
    io: T,
    liveness: Arc<Liveness>,
}

impl<T> Watched<T> {
    pub(crate) fn new(io: T, liveness: Arc<Liveness>) -> Self {
        Self { io, liveness }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.liveness.hear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
