//! The bytes of a connection and the bodies on it, each bounded in size or time.
//!
//! [`TrackedStream`] records on the connection when its socket blocks, [`ResponseBody`] when a part of an answer
//! waits for the client, and [`limit_request_body`] limits the size and the time of a request body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{Full, Limited};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::refusal;
use super::tracker::{Connection, InFlight, ReadingBody};
use crate::http::server_context::BodyLimit;

/// Most that a request body may hold, unless its handler lifts the limit.
pub(super) const MAX_REQUEST_BODY: usize = 64 * 1024;

/// Largest part of an answer handed on at once, so that progress shows part by part.
const PART: usize = 16 * 1024;

/// Most that is read and thrown away after the last answer.
const MAX_DISCARDED: usize = 256 * 1024;

/// A stream that notes on its connection when bytes come and when it takes none.
///
/// A client that closes its sending half waits for its answer anyway: the end of what it sends
/// is handed on only once no answer is owed.
#[derive(Debug)]
pub(super) struct TrackedStream<S> {
    stream: S,
    connection: Arc<Connection>,
    blocked: bool,
    closing: Option<Closing>,
    /// Requests that were begun when the last answer had been sent to its end. While their number
    /// stays the same, whatever is written comes from hyper alone.
    answered: u64,
    refusal: Option<Refusal>,
    /// The client's end of sending was put off once since the last byte.
    put_off: bool,
}

/// The answer that replaces one of hyper's own.
#[derive(Debug)]
struct Refusal {
    text: Vec<u8>,
    sent: usize,
}

/// How far the end of a connection has come.
#[derive(Debug)]
struct Closing {
    /// Bytes read and thrown away since our side was closed.
    discarded: usize,
}

impl<S> TrackedStream<S> {
    pub(super) const fn new(stream: S, connection: Arc<Connection>) -> Self {
        let (blocked, put_off) = (false, false);
        Self { stream, connection, blocked, closing: None, answered: 0, refusal: None, put_off }
    }

    /// Records what a write or a flush came to.
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

impl<S: AsyncWrite + Unpin> TrackedStream<S> {
    /// Writes a problem instead of `head`, where that is a refusal of hyper's own; `None` where it
    /// is something else.
    fn poll_refuse(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.refusal.is_none() {
            let refuses = head.starts_with(b"HTTP/1.1 4") || head.starts_with(b"HTTP/1.0 4");
            if !refuses || self.connection.answered() != Some(self.answered) {
                return None;
            }
            let text = refusal::rewritten(head)?;
            self.refusal = Some(Refusal { text, sent: 0 });
        }
        let refusal = self.refusal.as_mut()?;
        while refusal.sent < refusal.text.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &refusal.text[refusal.sent..]) {
                Poll::Ready(Ok(count)) if count > 0 => refusal.sent += count,
                Poll::Ready(Ok(_)) => {
                    return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.refusal = None;
        Some(Poll::Ready(Ok(head.len())))
    }
}

impl<S> Drop for TrackedStream<S> {
    fn drop(&mut self) {
        if self.blocked {
            self.connection.unblocked();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.end().is_cancelled() {
            // The end of what is sent, so that the protocol says goodbye where it can.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.connection.received();
            self.put_off = false;
            return result;
        }
        if !matches!(result, Poll::Ready(Ok(()))) || buf.remaining() == 0 {
            return result;
        }
        // hyper looks for the end as soon as it has read the last chunk of a body, before the
        // handler could learn that this was the last.
        if self.connection.is_reading_body() && !std::mem::replace(&mut self.put_off, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.connection.may_end(cx) { result } else { Poll::Pending }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = match self.poll_refuse(cx, buf) {
            Some(result) => result,
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        };
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let result = match first.and_then(|head| self.poll_refuse(cx, head)) {
            Some(result) => result,
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        };
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready()
            && let Some(answered) = self.connection.answered()
        {
            self.answered = answered;
        }
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
pub(super) struct ResponseBody {
    body: Body,
    rest: Bytes,
    request: InFlight,
    /// Whether it is a stream that has no end of its own.
    endless: bool,
}

impl ResponseBody {
    pub(super) fn new(body: Body, mut request: InFlight, endless: bool) -> Self {
        request.ready();
        Self { body, rest: Bytes::new(), request, endless }
    }

    fn part(&mut self) -> Option<Frame<Bytes>> {
        let length = self.rest.len().min(PART);
        (length > 0).then(|| Frame::data(self.rest.split_to(length)))
    }
}

impl HttpBody for ResponseBody {
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
                let endless = self.endless;
                self.request.drained(endless);
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

/// A request's body, at most [`MAX_REQUEST_BODY`] long and complete within `time`; a handler may
/// lift both by `limit`, and each part is then to come within `time`.
pub(super) fn limit_request_body(
    body: Incoming,
    guard: ReadingBody,
    limit: BodyLimit,
    time: Duration,
) -> Body {
    let deadline = Instant::now() + time;
    let (announced, guard) = (body.size_hint().lower(), Some(guard));
    Body::new(Bounded { body, announced, guard, limit, read: 0, time, deadline, timer: None })
}

/// A body that fails when it is too large or not complete in time.
struct Bounded {
    body: Incoming,
    /// The length that the head announced.
    announced: u64,
    /// Held until the body is at its end.
    guard: Option<ReadingBody>,
    limit: BodyLimit,
    read: usize,
    time: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    /// Counts the data of `frame`.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), BoxError> {
        self.read = self.read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if self.limit.is_lifted() {
            self.deadline = Instant::now() + self.time;
            self.timer = None;
            return Ok(());
        }
        if self.read > MAX_REQUEST_BODY { Err(too_long()) } else { Ok(()) }
    }
}

/// The error of a body that is too long, as extractors know it: its type cannot be made elsewhere.
fn too_long() -> BoxError {
    let mut limited = Limited::new(Full::new(Bytes::from_static(b"x")), 0);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match Pin::new(&mut limited).poll_frame(&mut cx) {
        Poll::Ready(Some(Err(error))) => error,
        _ => io::Error::from(io::ErrorKind::FileTooLarge).into(),
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.announced > MAX_REQUEST_BODY as u64 && !self.limit.is_lifted() {
            self.guard = None;
            return Poll::Ready(Some(Err(too_long())));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let frame = match frame {
                Some(Ok(frame)) => Some(self.count(&frame).map(|()| frame)),
                Some(Err(error)) => Some(Err(error.into())),
                None => None,
            };
            if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
                self.guard = None;
            }
            return Poll::Ready(frame);
        }
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(cx));
        self.guard = None;
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
