//! Keeps secrets out of texts for people.
//!
//! # Every text
//!
//! [`redacted`] is the one rule for the text of an error, wherever it goes: a message of a run, a log
//! line, a status. URLs lose what may be secret in them: user, password, query and fragment.
//!
//! # What a peer says
//!
//! A [`Redaction`] knows the secrets of one check, and hides them too: a server may repeat what it
//! was sent.

use std::borrow::Cow;
#[cfg(feature = "tls")]
use std::cmp::Reverse;

#[cfg(any(feature = "sql-pool", feature = "tls"))]
use super::Secret;

/// Ends a URL within a text.
const END_OF_URL: [char; 5] = ['"', '\'', '`', '<', '>'];

/// What follows a URL in a text, and is no part of it at its end.
const AFTER_URL: [char; 8] = [')', ']', '}', ',', '.', ':', ';', '!'];

/// `text` with each URL in it without user, password, query and fragment.
///
/// ```text
/// GET https://app:hunter2@api.example/v1?key=abc: refused  ->  GET https://api.example/v1: refused
/// ```
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let ends = |c: char| c.is_whitespace() || c.is_control() || END_OF_URL.contains(&c);
        let (url, after) = url.split_at(url.find(ends).unwrap_or(url.len()));
        push_url(&mut shown, url);
        rest = after;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// The same for a text that is owned; one without a URL is given back as it is.
pub(crate) fn redacted_text(text: String) -> String {
    match redacted(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

/// Adds what may be shown of `url`, which begins after the `://`.
fn push_url(shown: &mut String, url: &str) {
    let kept = url.trim_end_matches(AFTER_URL);
    let after = &url[kept.len()..];
    let place = &kept[end_of_credentials(kept)..];
    let secret = place.find(['?', '#']).unwrap_or(place.len());
    shown.push_str(&place[..secret]);
    shown.push_str(after);
}

/// Where the credentials of a URL end, which is 0 without any.
///
/// A password may hold `/`, `?` or `#` that somebody forgot to encode. The URL is broken then, and
/// what looks like its port is no number: all up to its last `@` counts as credentials.
fn end_of_credentials(url: &str) -> usize {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    let after_last = |text: &str| text.rfind('@').map_or(0, |at| at + 1);
    let port =
        authority.rsplit_once(':').map(|(_, port)| port).filter(|_| !authority.ends_with(']'));
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match (after_last(authority), port) {
        (0, Some(port)) if !is_number(port) => after_last(url),
        (end, _) => end,
    }
}

/// Replaces a whole text that contains a short secret.
#[cfg(any(feature = "sql-pool", feature = "tls"))]
const WITHHELD: &str = "(withheld, as it holds a secret of less than four characters)";

/// Characters of a peer's text shown at most.
#[cfg(any(feature = "sql-pool", feature = "tls"))]
const MAX_TEXT: usize = 300;

/// Texts that no message may show. Messages contain texts from a server, and the server might
/// repeat what it was sent.
#[cfg(any(feature = "sql-pool", feature = "tls"))]
#[derive(Debug, Clone, Default)]
pub(crate) struct Redaction(Vec<Secret>);

#[cfg(any(feature = "sql-pool", feature = "tls"))]
impl Redaction {
    /// Hides `secrets` from every message.
    #[cfg(feature = "tls")]
    pub(crate) fn of(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|s| !s.is_empty()).collect();
        // The longest first: one that is a part of another would leave the rest of that in the text.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Self(secrets.into_iter().map(Secret::new).collect())
    }

    /// `text` on one line, shortened and without secrets: long secrets are cut out, and a text that
    /// contains a short secret is replaced completely.
    pub(crate) fn clean(&self, text: &str) -> String {
        if self.0.iter().any(|secret| secret.is_too_short() && text.contains(secret.expose())) {
            return WITHHELD.to_owned();
        }
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.expose(), "[secret]");
        }
        // After the secrets, which may hold such characters.
        let text = redacted(&text).replace(|c: char| c.is_control(), " ");
        match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_a_text_lose_credentials_query_and_fragment() {
        for (text, shown) in [
            ("refused", "refused"),
            ("https://a.example/v1", "https://a.example/v1"),
            ("https://a.example:8443/v1?key=s3cret", "https://a.example:8443/v1"),
            ("https://a.example?key=s3cret", "https://a.example"),
            ("https://a.example/cb#token=s3cret", "https://a.example/cb"),
            ("postgres://app:s3cret@db:5432/orders", "postgres://db:5432/orders"),
            ("redis://:s3cret@cache", "redis://cache"),
            ("amqp://app@queue/", "amqp://queue/"),
            ("http://u:s3@cret@h/", "http://h/"),
            ("http://u:s3/c?r#et@h:1/x?y", "http://h:1/x"),
            ("http://[::1]:80/x?k=s3cret", "http://[::1]:80/x"),
            ("http://[::1]/@me", "http://[::1]/@me"),
            ("http://h:80/@me?k=s3cret", "http://h:80/@me"),
            (
                "error sending request for url (http://u:s3cret@h/?k=s3cret): refused",
                "error sending request for url (http://h/): refused",
            ),
            ("{\"url\":\"http://h/?k=s3cret\",\"n\":1}", "{\"url\":\"http://h/\",\"n\":1}"),
            ("from http://u:s3cret@a/ to ws://b/?s3cret.", "from http://a/ to ws://b/."),
            ("://", "://"),
            ("a://?s3cret", "a://"),
            ("jdbc:postgresql://db/x?password=s3cret", "jdbc:postgresql://db/x"),
        ] {
            assert_eq!(redacted(text), shown);
            assert!(!redacted(text).contains("s3"), "{text}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        let redaction = Redaction::of(["hunter2".to_owned(), String::new()]);
        assert_eq!(redaction.clean("no hunter2\nhere"), "no [secret] here");
        assert_eq!(format!("{redaction:?}"), "Redaction([[secret]])");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_text_that_holds_a_short_secret_is_withheld_as_a_whole() {
        for secret in ["e", "wr", "d 3", "ü"] {
            let redaction = Redaction::of([secret.to_owned()]);
            let clean = redaction.clean("WRONGPASS wrong password 3 für e");
            assert_eq!(clean, WITHHELD, "{secret}");
            assert_eq!(redaction.clean("no"), "no", "{secret}");
        }
        let both = Redaction::of(["hunter2".to_owned(), "x".to_owned()]);
        assert_eq!(both.clean("no hunter2"), "no [secret]");
        assert_eq!(both.clean("no hunter2 in x"), WITHHELD);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn nothing_is_left_of_a_secret_that_holds_another_or_a_control_character() {
        let redaction = Redaction::of(["hunt", "hunter2", "ter2", "tab\there"].map(str::to_owned));
        let clean = redaction.clean("hunter2, hunt, ter2, tab\there");
        assert_eq!(clean, "[secret], [secret], [secret], [secret]");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_long_text_is_cut_between_characters() {
        let cut = Redaction::default().clean(&"é".repeat(MAX_TEXT + 1));
        assert_eq!(cut.chars().count(), MAX_TEXT + 1);
        assert!(cut.ends_with('…'));
    }
}
