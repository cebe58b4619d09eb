//! The answers of protocols that speak in lines of text.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::check::Failure;
use crate::model::Reason;

use super::{Endpoint, failure};

/// Most bytes that are read of all answers of a run together.
const MOST: usize = 64 * 1024;

/// Why no line could be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The connection failed.
    Io(io::Error),
    /// The connection ended within a line, or before it.
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

/// Reads lines, one after the other, and bounds what it reads of all of them.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    received: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
    /// How much of it is known to hold no end of a line beyond what was taken.
    searched: usize,
}

impl Lines {
    /// The next line, without its end.
    pub(crate) async fn next(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<String, Unread> {
        loop {
            if let Some(end) = self.received[self.searched..].iter().position(|b| *b == b'\n') {
                let end = self.searched + end;
                let line = &self.received[self.taken..end];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
                let line = line.into_owned();
                self.taken = end + 1;
                self.searched = self.taken;
                return Ok(line);
            }
            self.searched = self.received.len();
            self.read(from).await?;
        }
    }

    /// Whether nothing was received beyond the lines that were taken.
    #[cfg(feature = "smtp")]
    pub(crate) fn is_drained(&self) -> bool {
        self.taken == self.received.len()
    }

    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), Unread> {
        let room = MOST.saturating_sub(self.received.len());
        if room == 0 {
            return Err(Unread::TooLarge);
        }
        match from.take(room as u64).read_buf(&mut self.received).await {
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
    async fn lines_end_with_or_without_a_carriage_return() {
        let mut from: &[u8] = b"one\r\ntwo\n\r\nthree \xff\r\nrest";
        let mut lines = Lines::default();
        for wanted in ["one", "two", "", "three \u{fffd}"] {
            assert_eq!(lines.next(&mut from).await.expect("a line"), wanted);
        }
        assert!(matches!(lines.next(&mut from).await, Err(Unread::Ended)));
    }

    #[tokio::test]
    async fn all_lines_together_are_bounded() {
        let text = "0123456\r\n".repeat(MOST);
        let mut from = text.as_bytes();
        let mut lines = Lines::default();
        let mut count = 0;
        let end = loop {
            match lines.next(&mut from).await {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(end, Unread::TooLarge), "{end:?}");
        assert_eq!(count, MOST / 9);
        let endless = vec![b'a'; 2 * MOST];
        let end = Lines::default().next(&mut &endless[..]).await;
        assert!(matches!(end, Err(Unread::TooLarge)), "{end:?}");
    }

    #[cfg(feature = "smtp")]
    #[tokio::test]
    async fn what_came_with_a_line_is_told_from_what_comes_later() {
        for (mut from, drained) in [(&b"ready\r\n"[..], true), (b"ready\r\nand more", false)] {
            let mut lines = Lines::default();
            lines.next(&mut from).await.expect("a line");
            assert_eq!(lines.is_drained(), drained);
        }
    }
}
