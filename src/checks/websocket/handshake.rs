//! Validates the answer to the opening handshake of a WebSocket (RFC 6455, section 4).

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What is wrong with `headers` as the answer to a request with `key`, if anything. Of the
/// subprotocol it is judged only whether it is the one that was asked for.
pub(super) fn objection(
    headers: &HeaderMap,
    key: &str,
    asked: Option<&str>,
) -> Option<&'static str> {
    let upgrades = lists(headers, &header::UPGRADE, "websocket");
    if !upgrades || !lists(headers, &header::CONNECTION, "upgrade") {
        return Some("does not upgrade to WebSocket");
    }
    let accepted = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Some("accepts a WebSocket that nobody asked for: its key is wrong");
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Some("uses an extension that nobody asked for");
    }
    let chosen = protocol(headers);
    let fits = chosen.is_none() || chosen == asked.map(str::as_bytes);
    (!fits).then_some("chooses a subprotocol that nobody asked for")
}

/// The subprotocol that the server has chosen.
pub(super) fn protocol(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes)
}

/// Whether the list in the header `name` has `word`, in either case.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The headers of its answer, but for those that `change` replaces, and `more`.
    fn answer(more: &[(&'static str, &'static str)], change: (&str, &str)) -> HeaderMap {
        let right = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let changed = |(name, value): (&str, &str)| {
            (name.parse().expect(name), value.replace(change.0, change.1).parse().expect(value))
        };
        right.into_iter().chain(more.iter().copied()).map(changed).collect()
    }

    #[test]
    fn an_answer_must_accept_what_was_asked_for() {
        let same = ("", "");
        let chosen = &[("sec-websocket-protocol", "mqtt")][..];
        for (more, asked) in [(&[][..], None), (&[], Some("mqtt")), (chosen, Some("mqtt"))] {
            assert_eq!(objection(&answer(more, same), KEY, asked), None, "{more:?}");
        }
        let extended = &[("sec-websocket-extensions", "x")][..];
        for (more, asked, change, wrong) in [
            (&[][..], None, ("s3pP", "S3pP"), "its key is wrong"),
            (&[], None, ("WebSocket", "h2c"), "does not upgrade"),
            (&[], None, ("keep-alive, Upgrade", "keep-alive"), "does not upgrade"),
            (chosen, None, same, "subprotocol that nobody"),
            (chosen, Some("wamp"), same, "subprotocol that nobody"),
            (extended, None, same, "extension that nobody"),
        ] {
            let found = objection(&answer(more, change), KEY, asked).expect("an objection");
            assert!(found.contains(wrong), "{found}");
        }
        let mut without = answer(&[], same);
        without.remove("sec-websocket-accept");
        assert!(objection(&without, KEY, None).expect("an objection").contains("its key is wrong"));
    }
}
