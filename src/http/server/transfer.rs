//! The bytes of a connection and the bodies on it, each bounded in size or time.
//!
//! [`Watched`] tells the connection when its socket blocks, [`Sent`] when a part of an answer
//! waits for the client, and [`received`] bounds what a request may bring.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::Limited;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::MAX_REQUEST_BODY;

use super::connections::{Connection, InFlight};

/// Largest part of an answer handed on at once, so that progress shows part by part.
const PART: usize = 16 * 1024;

/// Most that is read and thrown away after the last answer.
const MAX_DISCARDED: usize = 256 * 1024;

/// A stream that tells its connection when bytes come and when it takes none.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    blocked: bool,
    closing: Option<Closing>,
}

/// How far the end of a connection has come.
#[derive(Debug)]
struct Closing {
    /// Bytes read and thrown away since our side was closed.
    discarded: usize,
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection, blocked: false, closing: None }
    }

    /// Notes what a write or a flush came to.
    fn note<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() != self.blocked {
            self.blocked = result.is_pending();
            if self.blocked {
                self.connection.blocked();
            } else {
                self.connection.unblocked();
            }
        }
        result
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        if self.blocked {
            self.connection.unblocked();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.received();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(result)
    }

    /// Closes our side, then reads what the client is still sending: a socket closed with bytes
    /// unread is reset, and the reset can overtake the answer that says why.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closing = if let Some(closing) = &mut this.closing {
            closing
        } else {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closing.insert(Closing { discarded: 0 })
        };
        let mut scratch = [0; 4096];
        while closing.discarded < MAX_DISCARDED {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    closing.discarded += buf.filled().len();
                }
                // Nothing was unread, so nothing needs to be waited for.
                Poll::Pending if closing.discarded > 0 && !this.connection.end().is_cancelled() => {
                    return Poll::Pending;
                }
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// An answer's body on its way to the client, in parts of at most [`PART`] bytes.
#[derive(Debug)]
pub(super) struct Sent {
    body: Body,
    rest: Bytes,
    request: InFlight,
}

impl Sent {
    pub(super) fn new(body: Body, mut request: InFlight) -> Self {
        request.ready();
        Self { body, rest: Bytes::new(), request }
    }

    fn part(&mut self) -> Option<Frame<Bytes>> {
        let length = self.rest.len().min(PART);
        (length > 0).then(|| Frame::data(self.rest.split_to(length)))
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = if let Some(part) = self.part() {
            Some(Ok(part))
        } else {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                self.request.drained();
                return Poll::Pending;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => {
                    self.rest = data;
                    // An empty frame says nothing, and yet is not the end.
                    Some(Ok(self.part().unwrap_or_else(|| Frame::data(Bytes::new()))))
                }
                Some(Ok(Err(frame))) => Some(Ok(frame)),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            }
        };
        // An answer in one part was noted when it was made.
        if !(self.request.is_waiting() && self.is_end_stream()) {
            self.request.ready();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// A request's body, at most [`MAX_REQUEST_BODY`] long and complete within `limit`.
pub(super) fn received(body: Incoming, limit: Duration) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let deadline = Instant::now() + limit;
    Body::new(Limited::new(Timed { body, deadline, timer: None }, MAX_REQUEST_BODY))
}

/// A body that fails when it is not complete in time.
struct Timed {
    body: Incoming,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(cx));
        let late = io::Error::new(io::ErrorKind::TimedOut, "the request body took too long");
        Poll::Ready(Some(Err(late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
