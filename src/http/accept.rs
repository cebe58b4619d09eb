//! Content negotiation by `Accept` and `Accept-Encoding` (RFC 9110, sections 12.5.1 and 12.5.3).
//!
//! Of two media types the client prefers the one with the higher weight, then the one that it names
//! more precisely, then the one that it names first. The most precise range that covers a type
//! gives its weight. If the client has no preference, the default type is used.

use std::cmp::Reverse;

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

/// The IETF health-check response format.
pub(crate) const HEALTH_JSON: &str = "application/health+json";

/// A media type to choose from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Media<'m> {
    essence: &'m str,
    version: Option<&'m str>,
}

impl<'m> Media<'m> {
    /// A type without parameters, such as `text/html`.
    pub(crate) const fn new(essence: &'m str) -> Self {
        Self { essence, version: None }
    }

    /// The type in one version: it does not match a client that requests another version.
    pub(crate) const fn version(self, version: &'m str) -> Self {
        Self { version: Some(version), ..self }
    }
}

/// Whether the client prefers the health-check response format to plain JSON.
pub(crate) fn wants_health_json(headers: &HeaderMap) -> bool {
    // Most requests have no such header, and need no further look.
    headers.contains_key(ACCEPT)
        && prefers(headers, Media::new(HEALTH_JSON), Media::new("application/json"))
}

/// Whether the client prefers `wanted` to `usual`.
pub(crate) fn prefers(headers: &HeaderMap, wanted: Media<'_>, usual: Media<'_>) -> bool {
    preference(headers, wanted) > preference(headers, usual)
}

/// Whether the client prefers its answer compressed with gzip.
pub(crate) fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in elements(headers, &ACCEPT_ENCODING) {
        let (coding, parameters) = split(element);
        let weight = Some(weight(parameters));
        match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = weight,
            "identity" => identity = weight,
            "*" => any = weight,
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// How much a client wants a media type: by weight, then precision, then place.
type Preference = (u16, u8, Reverse<usize>);

/// The preference for `media`, by the most precise range that covers it; `None` if it is not
/// acceptable.
fn preference(headers: &HeaderMap, media: Media<'_>) -> Option<Preference> {
    let (main, sub) = media.essence.split_once('/')?;
    let mut best: Option<Preference> = None;
    for (place, element) in elements(headers, &ACCEPT).enumerate() {
        let (range, parameters) = split(element);
        let Some((asked_main, asked_sub)) = range.split_once('/') else { continue };
        let precision = match (asked_main.trim(), asked_sub.trim()) {
            ("*", "*") => 0,
            (m, "*") if m.eq_ignore_ascii_case(main) => 1,
            (m, s) if m.eq_ignore_ascii_case(main) && s.eq_ignore_ascii_case(sub) => {
                match (parameter(parameters, "version"), media.version) {
                    (None, _) | (_, None) => 2,
                    (Some(asked), Some(version)) if asked == version => 3,
                    (Some(_), Some(_)) => continue,
                }
            }
            _ => continue,
        };
        if best.is_none_or(|(_, known, _)| precision > known) {
            best = Some((weight(parameters), precision, Reverse(place)));
        }
    }
    best.filter(|(weight, ..)| *weight > 0)
}

/// The elements of a header that is a list, over all of its lines.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| unquoted(line, ','))
}

/// An element without its parameters, and those.
fn split(element: &str) -> (&str, &str) {
    let (value, parameters) = element.split_once(';').unwrap_or((element, ""));
    (value.trim(), parameters)
}

fn parameter<'h>(parameters: &'h str, name: &str) -> Option<&'h str> {
    unquoted(parameters, ';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// The parts of `text` between separators that stand in no quoted string.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let separates = c == separator && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        separates
    })
}

/// The weight of an element in thousandths: 1000 without one, 0 for one that cannot be read.
fn weight(parameters: &str) -> u16 {
    let Some(text) = parameter(parameters, "q") else { return 1000 };
    let weight = text.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 1000")]
    let thousandths = (weight * 1000.0).round() as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefers_health(accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().expect("a header value"));
        wants_health_json(&headers)
    }

    #[test]
    fn a_named_type_wins_over_wildcards_but_not_over_a_better_liked_one() {
        assert!(prefers_health("application/health+json"));
        assert!(prefers_health("application/health+json, */*"));
        assert!(prefers_health("application/json;q=0.5, Application/Health+JSON; q=0.9"));
        assert!(!prefers_health("application/json, application/health+json;q=0.9"));
        assert!(!prefers_health("application/health+json;q=0"));
        assert!(prefers_health("application/*;q=0.5, application/health+json;q=0.9"));
        assert!(!prefers_health("application/health+json;q=0.5, */*"));
        assert!(!prefers_health("application/*;q=0.9, application/health+json;q=0.5"));
        assert!(!prefers_health("text/plain;x=\"a, application/health+json\""));
        assert!(prefers_health("text/plain;x=\"\\\", a\";q=0.1, application/health+json"));
        assert!(!prefers_health("*/*"));
        assert!(!prefers_health("application/json"));
        assert!(!prefers_health(""));
        assert!(!wants_health_json(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn any_list_is_read_and_a_better_liked_type_wins(
            noise in "[ -~]{0,60}", ours in 0u8..=4, usual in 0u8..=4,
        ) {
            prefers_health(&noise);
            let q = |quarters: u8| f64::from(quarters) / 4.0;
            let accept = format!("{HEALTH_JSON};q={}, application/json;q={}", q(ours), q(usual));
            prop_assert_eq!(prefers_health(&accept), ours > 0 && ours >= usual);
        }
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        let asked = |line| {
            let value = hyper::header::HeaderValue::from_static(line);
            gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]))
        };
        for line in ["gzip", "deflate, GZIP;q=0.5", "*", "x-gzip", "br, *;q=0.1", "gzip, identity"]
        {
            assert!(asked(line), "{line}");
        }
        for line in ["", "identity", "gzip;q=0", "gzip;q=0, *", "br", "gzip;q=0.2, identity;q=0.9"]
        {
            assert!(!asked(line), "{line}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
