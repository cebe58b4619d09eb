//! What a client would rather have, by RFC 9110's `Accept` and `Accept-Encoding`.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::telemetry::metrics::Format;

/// The format of the metrics page for these headers: OpenMetrics for whoever prefers it, else
/// text, also for those who accept neither.
pub(crate) fn format(headers: &HeaderMap) -> Format {
    let text = wish(headers, "text", "plain", "0.0.4");
    let open = wish(headers, "application", "openmetrics-text", "1.0.0");
    if open > text { Format::OpenMetrics } else { Format::Text }
}

/// Whether the client would rather have its answer compressed with gzip.
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

/// How much a client wants a media type: weight, then how precisely it was named, then how early.
type Wish = (u16, u8, std::cmp::Reverse<usize>);

/// The wish for `main/sub` of `version`, by the most precise range that covers it.
fn wish(headers: &HeaderMap, main: &str, sub: &str, version: &str) -> Option<Wish> {
    let mut best: Option<(u8, Wish)> = None;
    for (place, element) in elements(headers, &ACCEPT).enumerate() {
        let (range, parameters) = split(element);
        let Some((asked_main, asked_sub)) = range.split_once('/') else { continue };
        let precision = match (asked_main.trim(), asked_sub.trim()) {
            ("*", "*") => 0,
            (m, "*") if m.eq_ignore_ascii_case(main) => 1,
            (m, s) if m.eq_ignore_ascii_case(main) && s.eq_ignore_ascii_case(sub) => {
                match parameter(parameters, "version") {
                    None => 2,
                    Some(asked) if asked == version => 3,
                    Some(_) => continue,
                }
            }
            _ => continue,
        };
        let weight = weight(parameters);
        let wish = (weight, precision, std::cmp::Reverse(place));
        if best.is_none_or(|(known, _)| precision > known) {
            best = Some((precision, wish));
        }
    }
    best.map(|(_, wish)| wish).filter(|(weight, ..)| *weight > 0)
}

/// The elements of a header that is a list, over all of its lines.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(','))
}

/// An element without its parameters, and those.
fn split(element: &str) -> (&str, &str) {
    let (value, parameters) = element.split_once(';').unwrap_or((element, ""));
    (value.trim(), parameters)
}

fn parameter<'h>(parameters: &'h str, name: &str) -> Option<&'h str> {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// The weight of an element in thousandths; 1000 without one, 0 for one that is none.
fn weight(parameters: &str) -> u16 {
    let Some(text) = parameter(parameters, "q") else { return 1000 };
    let weight = text.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 1000")]
    let thousandths = (weight * 1000.0).round() as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, hyper::header::HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn openmetrics_is_for_those_who_prefer_it() {
        const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for lines in [
            &[PROMETHEUS][..],
            &["application/openmetrics-text"],
            &["application/openmetrics-text; version=\"1.0.0\"; charset=utf-8"],
            &["application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.9,*/*;q=0.8"],
            &["text/plain;q=0.3", "APPLICATION/openmetrics-text;q=0.4"],
            &["application/openmetrics-text, text/plain"],
            &["application/openmetrics-text, */*"],
            &["text/plain;q=0, */*"],
        ] {
            assert_eq!(format(&headers(&ACCEPT, lines)), Format::OpenMetrics, "{lines:?}");
        }
    }

    #[test]
    fn text_is_for_everybody_else() {
        for lines in [
            &[][..],
            &["*/*"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["text/plain"],
            &["text/plain, application/openmetrics-text"],
            &["application/openmetrics-text;q=0.5, text/plain;q=0.6"],
            &["application/openmetrics-text;version=2.0.0"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=nan"],
            &["application/openmetrics-text;q=-1"],
            &["application/json"],
            &["", ";;;=,/,*"],
        ] {
            assert_eq!(format(&headers(&ACCEPT, lines)), Format::Text, "{lines:?}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        let asked = |line| gzip(&headers(&ACCEPT_ENCODING, &[line]));
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
