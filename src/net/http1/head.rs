//! The head of an answer, read as leniently as curl reads it.
//!
//! Folded lines, blanks before a colon, control characters in a value, names that are no tokens and
//! lines that end without a carriage return all occur in the field, and each common client reads
//! them. What is refused is what curl refuses: a first line of another protocol, a line without a
//! colon, a NUL.

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::response;
use hyper::{Response, StatusCode, Version};

use super::{Error, MOST_HEADERS};

/// What stands for a control character in a value, which [`HeaderValue`] cannot hold.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

const PREFIX: &[u8] = b"HTTP/1.";

/// How far a head has been searched for its end, so that no byte is searched twice.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Where the last line that was seen begins.
    line: usize,
    /// Up to where that line is known not to end.
    seen: usize,
}

impl Search {
    /// The length of the head that `bytes` begin with, once all of it is there.
    ///
    /// What does not begin as an answer of HTTP/1 is refused as soon as that shows.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let begun = after_empty_lines(bytes);
        let known = begun.len().min(PREFIX.len());
        if !begun[..known].eq_ignore_ascii_case(&PREFIX[..known]) {
            return Err(Error::Malformed("its answer does not begin with HTTP/1"));
        }
        let leading = bytes.len() - begun.len();
        while let Some(length) = bytes[self.seen..].iter().position(|b| *b == b'\n') {
            let end = self.seen + length;
            let empty = without_return(&bytes[self.line..end]).is_empty();
            (self.line, self.seen) = (end + 1, end + 1);
            if empty && end >= leading {
                return Ok(Some(end + 1));
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

/// Empty lines before an answer belong to nothing.
fn after_empty_lines(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'));
    &bytes[begin.unwrap_or(bytes.len())..]
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads a whole head.
pub(super) fn parse(bytes: &[u8]) -> Result<response::Parts, Error> {
    let mut lines = after_empty_lines(bytes).split(|b| *b == b'\n').map(without_return);
    let (mut head, ()) = Response::new(()).into_parts();
    (head.version, head.status) = status_line(lines.next().unwrap_or_default())
        .ok_or(Error::Malformed("its answer has no status line"))?;
    let mut pending: Option<Vec<u8>> = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        match &mut pending {
            // RFC 9112, section 5.2: the line end and the blanks after it are one blank.
            Some(folded) if matches!(line[0], b' ' | b'\t') => {
                folded.push(b' ');
                folded.extend_from_slice(line.trim_ascii());
            }
            _ => {
                let line = pending.replace(line.to_vec());
                line.map_or(Ok(()), |line| add(&mut head, &line))?;
            }
        }
    }
    pending.map_or(Ok(()), |line| add(&mut head, &line))?;
    Ok(head)
}

/// `HTTP/1.1 200 OK`; the words at its end are for people, and may be missing.
fn status_line(line: &[u8]) -> Option<(Version, StatusCode)> {
    let (prefix, rest) = line.split_at_checked(PREFIX.len())?;
    let version = match rest.first()? {
        b'0' => Version::HTTP_10,
        b'1' => Version::HTTP_11,
        _ => return None,
    };
    let blanks = rest[1..].iter().take_while(|b| **b == b' ').count();
    let (status, words) = rest[1..][blanks..].split_at_checked(3)?;
    let whole = words.first().is_none_or(u8::is_ascii_whitespace);
    let fits = prefix.eq_ignore_ascii_case(PREFIX) && blanks > 0 && whole;
    fits.then_some((version, StatusCode::from_bytes(status).ok()?))
}

/// Adds the header that `line` is.
fn add(head: &mut response::Parts, line: &[u8]) -> Result<(), Error> {
    if line.contains(&0) {
        return Err(Error::Malformed("a header holds a NUL"));
    }
    let colon = line.iter().position(|b| *b == b':');
    let colon = colon.ok_or(Error::Malformed("a header has no colon"))?;
    if head.headers.len() == MOST_HEADERS {
        return Err(Error::TooLarge);
    }
    // Nobody can ask for a header whose name is none.
    let Ok(name) = HeaderName::from_bytes(line[..colon].trim_ascii_end()) else { return Ok(()) };
    let mut value = Vec::new();
    for byte in line[colon + 1..].trim_ascii() {
        match byte {
            b'\t' => value.push(*byte),
            byte if byte.is_ascii_control() => value.extend_from_slice(REPLACEMENT),
            byte => value.push(*byte),
        }
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
        head.headers.append(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<response::Parts, Error> {
        let bytes = format!("{text}\r\nbody").into_bytes();
        let end = Search::default().end(&bytes)?.expect("all of it");
        assert_eq!(&bytes[end..], b"body");
        parse(&bytes[..end])
    }

    /// A header of an answer with this line.
    fn header(line: &str, name: &str) -> Option<String> {
        let head = read(&format!("HTTP/1.1 200 OK\r\n{line}\r\n")).expect(line);
        let value = head.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    #[test]
    fn odd_lines_are_read_as_curl_reads_them() {
        for (line, name, value) in [
            ("X: one,\r\n two\r\n\tthree", "x", Some("one, two three")),
            ("X:\r\n one", "x", Some("one")),
            ("X: one\r\n \r\nY: two", "x", Some("one")),
            ("X : one", "x", Some("one")),
            ("X\t:one", "x", Some("one")),
            ("X: a\u{1}b\u{7f}c\td", "x", Some("a\u{fffd}b\u{fffd}c\td")),
            ("X: a\rb", "x", Some("a\u{fffd}b")),
            ("X: café", "x", Some("café")),
            ("X: one\nY: two", "y", Some("two")),
            ("X Y: one\r\nZ: two", "z", Some("two")),
            (": one\r\nZ: two", "z", Some("two")),
            (" folds nothing: one\r\nZ: two", "z", Some("two")),
            ("X:", "x", Some("")),
            ("X: a:b", "x", Some("a:b")),
        ] {
            assert_eq!(header(line, name).as_deref(), value, "{line:?}");
        }
    }

    #[test]
    fn odd_status_lines_are_read_as_curl_reads_them() {
        for (line, version, status) in [
            ("HTTP/1.1 200 OK", Version::HTTP_11, 200),
            ("HTTP/1.0 404 Not Found", Version::HTTP_10, 404),
            ("HTTP/1.1 200", Version::HTTP_11, 200),
            ("HTTP/1.1 200 ", Version::HTTP_11, 200),
            ("HTTP/1.1  200 OK", Version::HTTP_11, 200),
            ("http/1.1 200 OK", Version::HTTP_11, 200),
            ("\r\n\r\nHTTP/1.1 200 OK", Version::HTTP_11, 200),
            ("HTTP/1.1 200 caf\u{e9}\u{1}", Version::HTTP_11, 200),
            ("HTTP/1.1 599 Odd", Version::HTTP_11, 599),
        ] {
            let head = read(&format!("{line}\r\n")).expect(line);
            assert_eq!((head.version, head.status.as_u16()), (version, status), "{line:?}");
        }
    }

    #[test]
    fn what_curl_refuses_is_refused() {
        for text in [
            "HTTP/1.2 200 OK\r\n",
            "HTTP/2.0 200 OK\r\n",
            "HTTP/1.1 20 OK\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1200 OK\r\n",
            "HTTP/1.1\r\n",
            "HTTP/1.\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200 OK\r\nno header\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n",
        ] {
            let refused = read(text);
            assert!(matches!(refused, Err(Error::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn another_protocol_shows_from_its_first_byte() {
        for text in ["S", "HTTQ", "220 mail", "\r\nX"] {
            let found = Search::default().end(text.as_bytes());
            assert!(matches!(found, Err(Error::Malformed(_))), "{text}");
        }
        for text in ["", "H", "HTTP/1", "\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n"] {
            assert!(matches!(Search::default().end(text.as_bytes()), Ok(None)), "{text:?}");
        }
    }

    #[test]
    fn a_hundred_headers_are_read_and_no_more() {
        let of = |count| format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(count));
        assert_eq!(read(&of(100)).expect("they fit").headers.len(), 100);
        assert!(matches!(read(&of(101)), Err(Error::TooLarge)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_say_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            cut in 0..60_usize,
        ) {
            let text = [b"HTTP/1.1 200 OK\r\nX: y\r\n", &bytes[..], b"\r\n\r\n"].concat();
            let whole = Search::default().end(&text).expect("it begins well").expect("an end");
            let _ = parse(&text[..whole]);
            let _ = parse(&bytes);
            let mut search = Search::default();
            let first = search.end(&text[..cut.min(text.len())]).expect("it begins well");
            let found = first.or(search.end(&text).expect("it begins well"));
            prop_assert_eq!(found, Some(whole));
        }
    }
}
