//! What a peer has sent, read within a bound.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::engine::check::Failure;
use crate::model::Reason;

use super::{Endpoint, failure};

/// Most bytes that are read of all answers of a run together, unless a kind has a bound of its own.
pub(crate) const MOST: usize = 64 * 1024;

/// Why no more could be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The connection failed.
    Io(io::Error),
    /// The connection ended within an answer, or before it.
    Ended,
    /// The answers are longer than what is read.
    TooLarge,
}

impl Unread {
    /// The failure of asking `endpoint` that it stands for.
    pub(crate) fn failure(&self, endpoint: &Endpoint) -> Failure {
        let (reason, what) = match self {
            Self::Io(error) => return failure(format_args!("reading from {endpoint}"), error),
            Self::Ended => {
                (Reason::ConnectionReset, "closed the connection before its answer was complete")
            }
            Self::TooLarge => (Reason::TooLarge, "answered with more than 64 KiB"),
        };
        Failure::new(reason, format!("{endpoint} {what}"))
    }
}

/// What was received over a connection; whoever understands its start takes that off.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
    /// Most bytes that are read in all.
    most: usize,
}

impl Default for Received {
    fn default() -> Self {
        Self::up_to(MOST)
    }
}

impl Received {
    /// Nothing yet, and never more than `most` bytes in all, those that were taken included.
    pub(crate) const fn up_to(most: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, most }
    }

    /// What was not taken yet.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Takes off the first `length` bytes, or all if they are fewer.
    pub(crate) fn take(&mut self, length: usize) {
        self.taken = self.taken.saturating_add(length).min(self.bytes.len());
    }

    /// Awaits at least one more byte.
    pub(crate) async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), Unread> {
        let room = self.most.saturating_sub(self.bytes.len());
        if room == 0 {
            return Err(Unread::TooLarge);
        }
        match from.take(room as u64).read_buf(&mut self.bytes).await {
            Ok(0) => Err(Unread::Ended),
            Ok(_) => Ok(()),
            Err(error) => Err(Unread::Io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_counts_to_the_bound() {
        let mut from: &[u8] = b"abcdef";
        let mut received = Received::up_to(4);
        received.more(&mut from).await.expect("some bytes");
        assert_eq!(received.waiting(), b"abcd");
        received.take(3);
        assert_eq!(received.waiting(), b"d");
        assert!(matches!(received.more(&mut from).await, Err(Unread::TooLarge)));
        received.take(usize::MAX);
        assert_eq!(received.waiting(), b"");
        let ended = Received::default().more(&mut &b""[..]).await;
        assert!(matches!(ended, Err(Unread::Ended)), "{ended:?}");
    }
}
