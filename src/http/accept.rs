//! Content negotiation: which of two media types a client prefers (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// The IETF health-check response format.
pub(crate) const HEALTH_JSON: &str = "application/health+json";

/// Whether the client likes the health-check response format better than plain JSON.
pub(crate) fn wants_health_json(headers: &HeaderMap) -> bool {
    prefers(headers, HEALTH_JSON, "application/json")
}

/// Whether the client names `wanted` itself, and likes it at least as well as `usual`.
///
/// A wildcard is no wish for the less usual of two.
pub(crate) fn prefers(headers: &HeaderMap, wanted: &str, usual: &str) -> bool {
    let quality = |media: &str| {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
        let mut named = values.flat_map(|v| v.split(',')).filter_map(range);
        named.find(|(name, _)| name.eq_ignore_ascii_case(media)).map(|(_, q)| q)
    };
    quality(wanted).is_some_and(|q| q > 0.0 && q >= quality(usual).unwrap_or(0.0))
}

/// A media range without its parameters, and its weight.
fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|n| !n.is_empty())?;
    let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
    Some((name, weight.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefers_health(accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
        prefers(&headers, HEALTH_JSON, "application/json")
    }

    #[test]
    fn a_named_type_wins_over_wildcards_but_not_over_a_better_liked_one() {
        assert!(prefers_health("application/health+json"));
        assert!(prefers_health("application/health+json, */*"));
        assert!(prefers_health("application/json;q=0.5, Application/Health+JSON; q=0.9"));
        assert!(!prefers_health("application/json, application/health+json;q=0.9"));
        assert!(!prefers_health("application/health+json;q=0"));
        assert!(!prefers_health("*/*"));
        assert!(!prefers_health("application/json"));
        assert!(!prefers_health(""));
        assert!(!prefers(&HeaderMap::new(), HEALTH_JSON, "application/json"));
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
}
