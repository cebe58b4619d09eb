//! The replies of Redis' protocol, RESP2 and RESP3.
//!
//! A server answers in RESP2 unless it is asked for RESP3, which this kind does not do. Proxies and
//! servers that speak RESP3 anyway are understood: every type is read, and what a server pushes
//! between two replies is ignored.

use crate::net::{ParseError, Parsed};

const END: &[u8] = b"\r\n";

/// Most elements of an aggregate: a session reads fewer bytes than this.
const MOST_ELEMENTS: usize = 64 * 1024;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A word such as `PONG`.
    Simple(String),
    /// An error; its text starts with a code such as `NOAUTH`.
    Error(String),
    /// A text of any length.
    Bulk(String),
    /// Nothing: the server has no such value.
    Nil,
    /// The texts in an array, a set or a map, and in those within it.
    List(Vec<String>),
    /// A number or a boolean.
    Other,
    /// What was not asked for: a push, or attributes of the reply that follows.
    Push,
}

/// What a reply starts with.
enum Element {
    Whole(Reply),
    /// That many elements follow.
    Elements(usize),
    /// That many elements follow, which belong to no reply.
    Unasked(usize),
}

/// The reply that `bytes` start with.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Reply> {
    let Some((first, mut at)) = element(bytes)? else { return Ok(None) };
    let (mut missing, pushed) = match first {
        Element::Whole(reply) => return Ok(Some((reply, at))),
        Element::Elements(count) => (count, false),
        Element::Unasked(count) => (count, true),
    };
    let mut texts = Vec::new();
    while missing > 0 {
        let Some((element, length)) = element(&bytes[at..])? else { return Ok(None) };
        at += length;
        missing = match element {
            Element::Elements(count) => missing - 1 + count,
            // Attributes stand before the element that they describe.
            Element::Unasked(count) => missing + count,
            Element::Whole(reply) => {
                if let Reply::Simple(text) | Reply::Bulk(text) = reply {
                    texts.push(text);
                }
                missing - 1
            }
        };
        if missing > MOST_ELEMENTS {
            return Err(ParseError::TooLarge);
        }
    }
    Ok(Some((if pushed { Reply::Push } else { Reply::List(texts) }, at)))
}

/// The element that `bytes` start with.
fn element(bytes: &[u8]) -> Parsed<Element> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !b"+-:$*_,#(!=%~>|".contains(kind) {
        return Err(ParseError::Unexpected);
    }
    let Some(length) = bytes.windows(END.len()).position(|pair| pair == END) else {
        return Ok(None);
    };
    let (line, after) = (&bytes[1..length], length + END.len());
    let whole = |reply, length| Ok(Some((Element::Whole(reply), length)));
    match kind {
        b'+' => whole(Reply::Simple(text(line)), after),
        b'-' => whole(Reply::Error(text(line)), after),
        b'_' => whole(Reply::Nil, after),
        b':' | b',' | b'#' | b'(' => whole(Reply::Other, after),
        _ if line == b"-1" => whole(Reply::Nil, after),
        b'$' | b'!' | b'=' => {
            let size = size(line)?;
            let Some(rest) = bytes.get(after + size..) else { return Ok(None) };
            let Some(end) = rest.get(..END.len()) else { return Ok(None) };
            if end != END {
                return Err(ParseError::Unexpected);
            }
            let body = text(&bytes[after..after + size]);
            let reply = match kind {
                b'!' => Reply::Error(body),
                // A format of three letters and a colon precede the text.
                b'=' => Reply::Bulk(body.get(4..).unwrap_or_default().to_owned()),
                _ => Reply::Bulk(body),
            };
            whole(reply, after + size + END.len())
        }
        b'%' => Ok(Some((Element::Elements(2 * size(line)?), after))),
        b'|' => Ok(Some((Element::Unasked(2 * size(line)?), after))),
        b'>' => Ok(Some((Element::Unasked(size(line)?), after))),
        _ => Ok(Some((Element::Elements(size(line)?), after))),
    }
}

/// The number of bytes or elements that `line` announces.
fn size(line: &[u8]) -> Result<usize, ParseError> {
    if line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::Unexpected);
    }
    // A number that does not fit is too large as well.
    let size = str::from_utf8(line).ok().and_then(|digits| digits.parse().ok());
    size.filter(|size| *size <= MOST_ELEMENTS).ok_or(ParseError::TooLarge)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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

    fn all(mut bytes: &[u8]) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some((reply, length)) = parse(bytes).expect("replies") {
            replies.push(reply);
            bytes = &bytes[length..];
        }
        assert_eq!(bytes, b"", "every reply is read to its end");
        replies
    }

    fn list(texts: &[&str]) -> Reply {
        Reply::List(texts.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn replies_of_resp2_are_read_one_after_the_other() {
        let bytes = b"+OK\r\n-ERR no\r\n$0\r\n\r\n$4\r\na\r\nb\r\n:7\r\n$-1\r\n*-1\r\n*0\r\n\
            *2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n*2\r\n*1\r\n:1\r\n*2\r\n+a\r\n$-1\r\n";
        let text = str::to_owned;
        assert_eq!(
            all(bytes),
            [
                Reply::Simple(text("OK")),
                Reply::Error(text("ERR no")),
                Reply::Bulk(text("")),
                Reply::Bulk(text("a\r\nb")),
                Reply::Other,
                Reply::Nil,
                Reply::Nil,
                list(&[]),
                list(&["127.0.0.1", "6379"]),
                list(&["a"]),
            ]
        );
    }

    #[test]
    fn replies_of_resp3_are_read_and_pushes_are_kept_apart() {
        let bytes =
            b"_\r\n#t\r\n,1.5\r\n(12345678901234567890\r\n!5\r\nERR x\r\n=8\r\ntxt:a\r\nb\r\n\
            %1\r\n+role\r\n+master\r\n~1\r\n$1\r\na\r\n>2\r\n+message\r\n$2\r\nhi\r\n\
            |1\r\n+ttl\r\n:60\r\n*2\r\n|1\r\n+key\r\n+value\r\n+a\r\n+b\r\n";
        let text = str::to_owned;
        assert_eq!(
            all(bytes),
            [
                Reply::Nil,
                Reply::Other,
                Reply::Other,
                Reply::Other,
                Reply::Error(text("ERR x")),
                Reply::Bulk(text("a\r\nb")),
                list(&["role", "master"]),
                list(&["a"]),
                Reply::Push,
                Reply::Push,
                list(&["key", "value", "a", "b"]),
            ]
        );
    }

    #[test]
    fn another_protocol_and_a_reply_that_is_too_long_are_kept_apart() {
        for bytes in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"$1x\r\n", b"$\r\n", b"$-2\r\n", b"$1\r\nabc"]
        {
            assert_eq!(parse(bytes), Err(ParseError::Unexpected), "{bytes:?}");
        }
        let nested = b"*60000\r\n".repeat(2);
        for bytes in [&b"$99999999999999999999\r\n"[..], b"$65537\r\n", b"*65537\r\n", &nested] {
            assert_eq!(parse(bytes), Err(ParseError::TooLarge), "{bytes:?}");
        }
        for part in [&b""[..], b"+OK", b"$4\r\nab", b"*2\r\n+a\r\n", b">1\r\n"] {
            assert_eq!(parse(part), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_texts() {
        assert_eq!(command(&["AUTH", "é"]), "*2\r\n$4\r\nAUTH\r\n$2\r\né\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_part_of_a_reply_is_none(
            bytes in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), b'0'..=b'9',
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
