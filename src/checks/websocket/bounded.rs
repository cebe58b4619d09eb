//! A stream with a limit on the bytes that are read, whatever the framing is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose reading fails once its peer has sent more than it may.
pub(super) struct Bounded<S> {
    stream: S,
    room: usize,
}

impl<S> Bounded<S> {
    /// Reads at most `most` bytes of `stream`.
    pub(super) const fn new(stream: S, most: usize) -> Self {
        Self { stream, room: most }
    }
}

/// Whether `error` says that the peer has sent more than it may.
pub(super) fn is_full(error: &io::Error) -> bool {
    // No system says this of a socket.
    error.kind() == io::ErrorKind::FileTooLarge
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bounded = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut bounded.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        match bounded.room.checked_sub(read) {
            Some(room) => bounded.room = room,
            None => return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into())),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
