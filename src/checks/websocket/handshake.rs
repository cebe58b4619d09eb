//! The request that opens a WebSocket, and its answer (RFC 6455, section 4).

use std::io;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Longest head of an answer.
const LONGEST_HEAD: usize = 64 * 1024;

/// Most headers of an answer.
const MOST_HEADERS: usize = 100;

/// A request for `uri` with these headers, as it is sent.
pub(super) fn request(uri: &Uri, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = format!("GET {uri} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    headers: HeaderMap,
}

/// Why no head could be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The connection failed.
    Io(io::Error),
    /// The connection ended within it, or before.
    Ended,
    /// It is longer than what is read, or has more headers.
    TooLarge,
    /// It is in another protocol.
    Malformed,
}

impl Head {
    /// Reads a head, and whatever came with it.
    pub(super) async fn read(
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<(Self, Vec<u8>), Unread> {
        let mut received = Vec::new();
        loop {
            let before = received.len();
            let room = LONGEST_HEAD.saturating_sub(before);
            if room == 0 {
                return Err(Unread::TooLarge);
            }
            match from.take(room as u64).read_buf(&mut received).await {
                Ok(0) => return Err(Unread::Ended),
                Ok(_) => {}
                Err(error) => return Err(Unread::Io(error)),
            }
            // What has no further line has nothing more to tell; from its first bytes on, what is no
            // HTTP is told apart.
            let tells = before == 0 || received[before..].contains(&b'\n');
            if tells && let Some((head, length)) = parse(&received)? {
                return Ok((head, received.split_off(length)));
            }
        }
    }

    /// What is wrong with this answer to a request with `key`, if anything; of the subprotocol
    /// only whether it is one that was asked for.
    pub(super) fn objection(&self, key: &str, protocol: Option<&str>) -> Option<&'static str> {
        let upgrades = self.lists(&header::UPGRADE, "websocket");
        if !upgrades || !self.lists(&header::CONNECTION, "upgrade") {
            return Some("does not upgrade to WebSocket");
        }
        let accepted = self.headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Some("accepts a WebSocket that nobody asked for: its key is wrong");
        }
        if self.headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
            return Some("uses an extension that nobody asked for");
        }
        let chosen = self.protocol();
        let asked = chosen.is_none() || chosen == protocol.map(str::as_bytes);
        (!asked).then_some("chooses a subprotocol that nobody asked for")
    }

    /// The subprotocol that the server has chosen.
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes)
    }

    /// Whether the list in the header `name` has `word`, in either case.
    fn lists(&self, name: &HeaderName, word: &str) -> bool {
        let values = self.headers.get_all(name).iter();
        let mut words = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
        words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The head that `bytes` start with and its length, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Unread> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Unread::TooLarge),
        Err(_) => return Err(Unread::Malformed),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Unread::Malformed)?;
    let mut headers = HeaderMap::new();
    for found in answer.headers {
        let name = HeaderName::from_bytes(found.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(found.value)) {
            headers.append(name, value);
        }
    }
    Ok(Some((Head { status, headers }, length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 6455, section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn objection(more: &str, protocol: Option<&str>, change: (&str, &str)) -> Option<&'static str> {
        let text = format!("{ANSWER}{more}\r\n").replace(change.0, change.1);
        let (head, length) = parse(text.as_bytes()).expect("a head").expect("all of it");
        assert_eq!(length, text.len());
        head.objection(KEY, protocol)
    }

    #[test]
    fn an_answer_must_accept_what_was_asked_for() {
        let same = ("", "");
        assert_eq!(objection("", None, same), None);
        assert_eq!(objection("", Some("mqtt"), same), None);
        let chosen = "Sec-WebSocket-Protocol: mqtt\r\n";
        assert_eq!(objection(chosen, Some("mqtt"), same), None);
        for (more, protocol, change, wrong) in [
            ("", None, ("s3pP", "S3pP"), "its key is wrong"),
            ("", None, ("-Accept", "-Axcept"), "its key is wrong"),
            ("", None, ("WebSocket\r", "h2c\r"), "does not upgrade"),
            ("", None, ("keep-alive, Upgrade", "keep-alive"), "does not upgrade"),
            (chosen, None, same, "subprotocol that nobody"),
            (chosen, Some("wamp"), same, "subprotocol that nobody"),
            ("Sec-WebSocket-Extensions: x\r\n", None, same, "extension that nobody"),
        ] {
            let found = objection(more, protocol, change).expect("an objection");
            assert!(found.contains(wrong), "{found}");
        }
    }

    #[tokio::test]
    async fn what_came_with_the_head_is_kept() {
        let bytes = format!("{ANSWER}\r\n\u{1}rest");
        let (head, rest) = Head::read(&mut bytes.as_bytes()).await.expect("a head");
        assert_eq!((head.status, &*rest), (StatusCode::SWITCHING_PROTOCOLS, &b"\x01rest"[..]));
    }

    #[tokio::test]
    async fn a_head_is_bounded() {
        let many = format!("{ANSWER}{}\r\n", "a: b\r\n".repeat(MOST_HEADERS));
        let long = format!("{ANSWER}a: {}", "b".repeat(LONGEST_HEAD));
        for text in [many, long] {
            let error = Head::read(&mut text.as_bytes()).await.expect_err("too much");
            assert!(matches!(error, Unread::TooLarge), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
            let _ = parse(&[ANSWER.as_bytes(), &bytes, b"\r\n\r\n"].concat());
        }
    }
}
