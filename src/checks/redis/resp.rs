//! The answers of Redis' protocol, RESP2, as far as this kind asks for any.

use tokio::io::AsyncRead;

use crate::net::{MOST, Received, Unread};

const END: &[u8] = b"\r\n";

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A word such as `PONG`.
    Simple(String),
    /// What the server refuses, starting with a code such as `NOAUTH`.
    Error(String),
    /// A text of any length.
    Bulk(String),
}

/// Why no answer could be read.
#[derive(Debug)]
pub(super) enum NoReply {
    /// Nothing could be read, or it would be too much.
    Unread(Unread),
    /// It is in another protocol.
    Malformed,
}

/// Reads answers, one after the other; `INFO` tells a few kilobytes.
#[derive(Debug, Default)]
pub(super) struct Replies(Received);

impl Replies {
    /// Awaits the first bytes of an answer.
    pub(super) async fn first(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), NoReply> {
        if self.0.waiting().is_empty() { self.more(from).await } else { Ok(()) }
    }

    /// The next answer.
    pub(super) async fn next(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<Reply, NoReply> {
        loop {
            if let Some((reply, length)) = parse(self.0.waiting())? {
                self.0.take(length);
                return Ok(reply);
            }
            self.more(from).await?;
        }
    }

    async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), NoReply> {
        self.0.more(from).await.map_err(NoReply::Unread)
    }
}

/// The answer that `bytes` start with and its length, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NoReply> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !matches!(kind, b'+' | b'-' | b'$') {
        return Err(NoReply::Malformed);
    }
    let Some(length) = bytes.windows(END.len()).position(|pair| pair == END) else {
        return Ok(None);
    };
    let (line, after) = (&bytes[1..length], length + END.len());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match kind {
        b'+' => Ok(Some((Reply::Simple(text(line)), after))),
        b'-' => Ok(Some((Reply::Error(text(line)), after))),
        _ => {
            let announced =
                str::from_utf8(line).ok().filter(|l| l.bytes().all(|b| b.is_ascii_digit()));
            let announced =
                announced.filter(|digits| !digits.is_empty()).ok_or(NoReply::Malformed)?;
            // A number that does not fit is too large as well.
            let size = announced.parse().unwrap_or(usize::MAX);
            if size > MOST {
                return Err(NoReply::Unread(Unread::TooLarge));
            }
            let Some(rest) = bytes.get(after + size..) else { return Ok(None) };
            match rest.get(..END.len()) {
                None => Ok(None),
                Some(END) => {
                    let body = text(&bytes[after..after + size]);
                    Ok(Some((Reply::Bulk(body), after + size + END.len())))
                }
                Some(_) => Err(NoReply::Malformed),
            }
        }
    }
}

/// A command as Redis takes it: an array of texts.
pub(super) fn command(words: &[&str]) -> String {
    let texts = words.iter().map(|word| format!("\r\n${}\r\n{word}", word.len()));
    format!("*{}{}\r\n", words.len(), texts.collect::<Vec<_>>().concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(mut bytes: &[u8]) -> (Vec<Reply>, NoReply) {
        let mut replies = Replies::default();
        let mut found = Vec::new();
        loop {
            match replies.next(&mut bytes).await {
                Ok(reply) => found.push(reply),
                Err(error) => return (found, error),
            }
        }
    }

    #[tokio::test]
    async fn answers_are_read_one_after_the_other() {
        let bytes = b"+OK\r\n-ERR no\r\n$0\r\n\r\n$4\r\na\r\nb\r\n";
        let (found, end) = all(bytes).await;
        let text = str::to_owned;
        assert_eq!(
            found,
            [
                Reply::Simple(text("OK")),
                Reply::Error(text("ERR no")),
                Reply::Bulk(text("")),
                Reply::Bulk(text("a\r\nb")),
            ]
        );
        assert!(matches!(end, NoReply::Unread(Unread::Ended)), "{end:?}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_from_one_that_is_too_long() {
        for bytes in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"$-1\r\n", b"$1x\r\n", b"$\r\n", b"$1\r\nabc"]
        {
            let (_, end) = all(bytes).await;
            assert!(matches!(end, NoReply::Malformed), "{bytes:?}: {end:?}");
        }
        let line = [b"+", &*vec![b'a'; MOST]].concat();
        for bytes in [&b"$99999999999999999999\r\n"[..], b"$65537\r\n", &line] {
            let (_, end) = all(bytes).await;
            assert!(matches!(end, NoReply::Unread(Unread::TooLarge)), "{end:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_texts() {
        assert_eq!(command(&["AUTH", "é"]), "*2\r\n$4\r\nAUTH\r\n$2\r\né\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_part_of_an_answer_is_none(
            bytes in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'$'), b'0'..=b'9',
            ], 0..40),
        ) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
                for part in 0..length {
                    prop_assert!(matches!(parse(&bytes[..part]), Ok(None)));
                }
            }
        }
    }
}
