//! The answers of protocols that speak in lines of text.

use tokio::io::AsyncRead;

use super::received::{Received, Unread};

/// Reads lines, one after the other, and bounds what it reads of all of them.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    received: Received,
    /// How much of what waits is known to hold no end of a line.
    searched: usize,
}

impl Lines {
    /// The next line, without its end.
    pub(crate) async fn next(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<String, Unread> {
        loop {
            let waiting = self.received.waiting();
            if let Some(end) = waiting[self.searched..].iter().position(|b| *b == b'\n') {
                let end = self.searched + end;
                let line = &waiting[..end];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
                let line = line.into_owned();
                self.received.take(end + 1);
                self.searched = 0;
                return Ok(line);
            }
            self.searched = waiting.len();
            self.received.more(from).await?;
        }
    }

    /// Whether nothing was received beyond the lines that were taken.
    #[cfg(feature = "smtp")]
    pub(crate) fn is_drained(&self) -> bool {
        self.received.waiting().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::received::MOST;
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
