//! An exchange of messages over one connection, within a bound on what is read.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net::{self, Endpoint, Received, Unread};

/// What is no message of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strange {
    /// It is in another protocol.
    Malformed,
    /// It announces more than is read.
    TooLarge,
}

/// The message that the bytes start with and its length, once all of it is there.
pub(crate) type Parsed<T> = Result<Option<(T, usize)>, Strange>;

/// One side of a connection to a broker.
#[derive(Debug)]
pub(crate) struct Wire<'a, S> {
    at: &'a Endpoint,
    /// The protocol, as messages name it.
    protocol: &'static str,
    stream: S,
    received: Received,
    /// Most bytes that are read in all.
    most: usize,
    /// Why not all could be sent.
    unsent: Option<io::Error>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Wire<'a, S> {
    /// An exchange in `protocol` over `stream`, which leads to `at`, that reads `most` bytes.
    pub(crate) fn new(at: &'a Endpoint, protocol: &'static str, stream: S, most: usize) -> Self {
        Self { at, protocol, stream, received: Received::up_to(most), most, unsent: None }
    }

    /// Sends `bytes`.
    ///
    /// That it failed shows when an answer is awaited: a broker that is full may say so and close,
    /// whatever it is sent, and its word comes first.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        if let Err(error) = sent.await {
            self.unsent.get_or_insert(error);
        }
    }

    /// Awaits the first bytes of a message.
    pub(crate) async fn first(&mut self) -> Result<(), Failure> {
        if self.waiting().is_empty() { self.read().await } else { Ok(()) }
    }

    /// The next message, by `parse`.
    pub(crate) async fn next<T>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> Parsed<T>,
    ) -> Result<T, Failure> {
        loop {
            match parse(self.waiting()) {
                Ok(Some((message, length))) => {
                    self.received.take(length);
                    return Ok(message);
                }
                Ok(None) => self.read().await?,
                Err(Strange::Malformed) => return Err(self.strange()),
                Err(Strange::TooLarge) => return Err(self.too_large()),
            }
        }
    }

    /// What was received and is no message yet.
    pub(crate) fn waiting(&self) -> &[u8] {
        self.received.waiting()
    }

    /// The connection, for another exchange over it.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// The failure of a broker that speaks another protocol.
    pub(crate) fn strange(&self) -> Failure {
        let text = format!("{} does not speak the protocol of {}", self.at, self.protocol);
        Failure::new(Reason::Protocol, text)
    }

    fn too_large(&self) -> Failure {
        let text = format!("{} answered with more than {} KiB", self.at, self.most / 1024);
        Failure::new(Reason::TooLarge, text)
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match (self.received.more(&mut self.stream).await, &self.unsent) {
            (Ok(()), _) => Ok(()),
            (Err(Unread::TooLarge), _) => Err(self.too_large()),
            (Err(_), Some(error)) => {
                Err(net::failure(format_args!("sending to {}", self.at), error))
            }
            (Err(unread), None) => Err(unread.failure(self.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::parse("broker:1").expect("an endpoint")
    }

    /// A message is a line, and `#` begins none.
    fn line(bytes: &[u8]) -> Parsed<String> {
        if bytes.starts_with(b"#") {
            return Err(Strange::Malformed);
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        Ok(end.map(|end| (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 1)))
    }

    #[tokio::test]
    async fn messages_are_read_one_after_the_other_within_a_bound() {
        let at = endpoint();
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"one\ntwo\n").await.unwrap();
        theirs.write_all(&[b'a'; 2048]).await.unwrap();
        let mut wire = Wire::new(&at, "lines", ours, 1024);
        assert_eq!(wire.next(line).await.unwrap(), "one");
        assert_eq!(wire.next(line).await.unwrap(), "two");
        let failure = wire.next(line).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::TooLarge);
        assert_eq!(failure.message(), "broker:1 answered with more than 1 KiB");
    }

    #[tokio::test]
    async fn the_last_word_of_a_broker_comes_before_the_failure_to_send() {
        let at = endpoint();
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"full\n").await.unwrap();
        drop(theirs);
        let mut wire = Wire::new(&at, "lines", ours, 1024);
        wire.send(b"hello").await;
        assert_eq!(wire.next(line).await.unwrap(), "full");
        assert_eq!(wire.waiting(), b"");
        let failure = wire.next(line).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::ConnectionReset, "{}", failure.message());
    }
}
