//! One exchange of messages with a peer over one connection, with a limit on the bytes that are
//! read.
//!
//! Input: a connection. Output: the peer's messages, one after the other, or a [`Failure`] that
//! names the peer and its protocol. A kind provides the parser of its messages; everything else
//! about reading is here.
//!
//! # Bound
//! A session reads a limited number of bytes in total, so a peer that sends without end costs
//! limited memory. The time is limited by the run: a session is dropped with it, at its deadline.
//!
//! # A message from the peer takes precedence over a failed write
//! An overloaded server often sends a message and closes the connection. Then sending fails, but
//! the message explains more than the failed write. So [`Session::send`] reports nothing; the next
//! read that finds no message reports the error of the write.

use std::fmt::Display;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::engine::check::Failure;
use crate::model::Reason;

use super::{Endpoint, Stream, failure};

/// Most bytes that are read of all answers of a run together, unless a kind has a bound of its own.
pub(crate) const MOST: usize = 64 * 1024;

/// Why bytes cannot be parsed as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// They belong to another protocol, or to no step that may come now.
    Unexpected,
    /// They announce more than the session reads.
    TooLarge,
}

/// The message that the bytes start with and its length; `None` until all of it has arrived.
pub(crate) type Parsed<T> = Result<Option<(T, usize)>, ParseError>;

/// One exchange of messages with a peer.
///
/// `A` is how the peer is shown in messages: an [`Endpoint`], or an address that may be a socket.
#[derive(Debug)]
pub(crate) struct Session<'a, S = Stream, A = Endpoint> {
    endpoint: &'a A,
    protocol: &'static str,
    stream: S,
    /// What was received; whoever parses its start takes that off.
    received: Vec<u8>,
    /// How much of it was taken off.
    taken: usize,
    limit: usize,
    /// Why not everything could be sent.
    send_error: Option<io::Error>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin, A: Display> Session<'a, S, A> {
    /// A session over `stream`, which leads to `endpoint`, that reads up to [`MOST`] bytes.
    ///
    /// `protocol` completes "… does not speak", such as `SMTP` or `the protocol of NATS`.
    pub(crate) const fn new(endpoint: &'a A, protocol: &'static str, stream: S) -> Self {
        let received = Vec::new();
        Self { endpoint, protocol, stream, received, taken: 0, limit: MOST, send_error: None }
    }

    /// The same session, which reads up to `limit` bytes.
    pub(crate) fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Sends `bytes`. An error is reported by the next read that finds no message.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        if let Err(error) = sent.await {
            self.send_error.get_or_insert(error);
        }
    }

    /// Awaits the first byte of the next message.
    pub(crate) async fn first_byte(&mut self) -> Result<(), Failure> {
        if self.buffered().is_empty() { self.read().await } else { Ok(()) }
    }

    /// Awaits the next message, which `parse` reads.
    ///
    /// # Errors
    /// When the connection fails or ends before the message is complete, when it belongs to another
    /// protocol, and when it is longer than what is left of the session's limit.
    pub(crate) async fn next<T>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> Parsed<T>,
    ) -> Result<T, Failure> {
        loop {
            match parse(self.buffered()) {
                Ok(Some((message, length))) => {
                    self.take(length);
                    return Ok(message);
                }
                Ok(None) => self.read().await?,
                Err(ParseError::Unexpected) => return Err(self.unexpected()),
                Err(ParseError::TooLarge) => return Err(self.too_large()),
            }
        }
    }

    /// Awaits the next line and returns it without its end. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    #[allow(dead_code, reason = "memcached and smtp still read lines by `Lines`")]
    pub(crate) async fn line(&mut self) -> Result<String, Failure> {
        // Bytes without an end of a line are searched once, however slowly the others arrive.
        let mut searched = 0;
        loop {
            let buffered = self.buffered();
            if let Some(end) = buffered[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + end;
                let line = &buffered[..end];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
                let line = line.into_owned();
                self.take(end + 1);
                return Ok(line);
            }
            searched = buffered.len();
            self.read().await?;
        }
    }

    /// What was received and is not part of a message that was returned.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    /// The connection, for another session over it, such as one with TLS.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Ends the connection in order: a peer with TLS sees that nothing was cut off. By now it has
    /// answered, so what goes wrong here fails no run.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The failure of a peer that speaks another protocol.
    pub(crate) fn unexpected(&self) -> Failure {
        let text = format!("{} does not speak {}", self.endpoint, self.protocol);
        Failure::new(Reason::Protocol, text)
    }

    fn too_large(&self) -> Failure {
        let text = format!("{} answered with more than {} KiB", self.endpoint, self.limit / 1024);
        Failure::new(Reason::TooLarge, text)
    }

    fn take(&mut self, length: usize) {
        self.taken = self.taken.saturating_add(length).min(self.received.len());
    }

    /// Awaits at least one more byte.
    async fn read(&mut self) -> Result<(), Failure> {
        let room = self.limit.saturating_sub(self.received.len());
        if room == 0 {
            return Err(self.too_large());
        }
        let read = (&mut self.stream).take(room as u64).read_buf(&mut self.received).await;
        match (read, &self.send_error) {
            (Ok(1..), _) => Ok(()),
            (_, Some(error)) => Err(failure(format_args!("sending to {}", self.endpoint), error)),
            (Err(error), None) => {
                Err(failure(format_args!("reading from {}", self.endpoint), &error))
            }
            (Ok(0), None) => {
                let what = "closed the connection before its answer was complete";
                Err(Failure::new(Reason::ConnectionReset, format!("{} {what}", self.endpoint)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::parse("broker:1").expect("an endpoint")
    }

    /// A session whose peer has sent `bytes`, and closed the connection if it has `closed`.
    async fn session<'a>(
        endpoint: &'a Endpoint,
        bytes: &[u8],
        closed: bool,
    ) -> (Session<'a, tokio::io::DuplexStream>, Option<tokio::io::DuplexStream>) {
        let (ours, mut theirs) = tokio::io::duplex(1024 * 1024);
        theirs.write_all(bytes).await.unwrap();
        (Session::new(endpoint, "lines", ours), (!closed).then_some(theirs))
    }

    /// A message is a line, and `#` begins none.
    fn line(bytes: &[u8]) -> Parsed<String> {
        if bytes.starts_with(b"#") {
            return Err(ParseError::Unexpected);
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        Ok(end.map(|end| (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 1)))
    }

    #[tokio::test]
    async fn messages_are_read_one_after_the_other_within_a_limit() {
        let at = endpoint();
        let sent = [&b"one\ntwo\n"[..], &[b'a'; 2048]].concat();
        let (session, _peer) = session(&at, &sent, false).await;
        let mut session = session.limit(1024);
        assert_eq!(session.next(line).await.unwrap(), "one");
        assert_eq!(session.next(line).await.unwrap(), "two");
        let failure = session.next(line).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::TooLarge);
        assert_eq!(failure.message(), "broker:1 answered with more than 1 KiB");
        assert_eq!(session.received.len(), 1024);
    }

    #[tokio::test]
    async fn another_protocol_is_named() {
        let at = endpoint();
        let (mut session, _peer) = session(&at, b"# no", false).await;
        let failure = session.next(line).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::Protocol);
        assert_eq!(failure.message(), "broker:1 does not speak lines");
    }

    #[tokio::test]
    async fn what_the_peer_said_last_comes_before_the_failure_to_send() {
        let at = endpoint();
        let (mut session, _) = session(&at, b"full\n", true).await;
        session.send(b"hello").await;
        assert_eq!(session.next(line).await.unwrap(), "full");
        assert_eq!(session.buffered(), b"");
        let failure = session.next(line).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::ConnectionReset);
        assert!(failure.message().starts_with("sending to broker:1 failed"));
    }

    #[tokio::test]
    async fn a_peer_that_closes_within_a_message_has_reset_the_connection() {
        let at = endpoint();
        for sent in [&b""[..], b"half a li"] {
            let (mut session, _) = session(&at, sent, true).await;
            let failure = session.next(line).await.unwrap_err();
            assert_eq!(failure.reason(), Reason::ConnectionReset);
            let wanted = "broker:1 closed the connection before its answer was complete";
            assert_eq!(failure.message(), wanted);
        }
    }

    #[tokio::test]
    async fn lines_end_with_or_without_a_carriage_return() {
        let at = endpoint();
        let (mut session, _) = session(&at, b"one\r\ntwo\n\r\nthree \xff\r\nrest", true).await;
        for wanted in ["one", "two", "", "three \u{fffd}"] {
            assert_eq!(session.line().await.unwrap(), wanted);
        }
        assert_eq!(session.line().await.unwrap_err().reason(), Reason::ConnectionReset);
        assert_eq!(session.buffered(), b"rest");
    }

    #[tokio::test]
    async fn all_lines_together_are_bounded() {
        let at = endpoint();
        let (mut session, _peer) = session(&at, "0123456\r\n".repeat(MOST).as_bytes(), false).await;
        let mut count = 0;
        while session.line().await.is_ok() {
            count += 1;
        }
        assert_eq!(count, MOST / 9);
    }
}
