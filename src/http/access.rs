//! Access control: who sees details (causes), and the tokens of `/metrics` and of heartbeats.
//!
//! A token comes as bearer token (RFC 6750), or as the password of Basic authentication (RFC 7617),
//! which browsers can send; the user's name is ignored.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::show_details::ShowDetails;
use crate::engine::check::Heartbeat;
use crate::health::Access;
use crate::model::{Details, Secret};

/// Wrong tokens from one address within [`WINDOW`] before it is refused with 429.
const WRONG_TOKENS: u32 = 10;
pub(crate) const WINDOW_SECONDS: u32 = 60;
const WINDOW: Duration = Duration::from_secs(WINDOW_SECONDS as u64);

/// Highest number of remembered addresses; beyond it the one with the oldest window is dropped.
const ADDRESSES: usize = 1024;

/// Headers that a proxy adds to forwarded requests.
const FORWARDED: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-envoy-external-address",
];

/// Why a request is refused for its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The token is wrong, or missing where one is needed.
    Unauthorized,
    /// Many wrong ones came from this address.
    TooMany,
}

/// Decides by the rules of an [`Access`], and counts wrong tokens by address.
#[derive(Debug)]
pub(crate) struct Guard {
    access: Arc<ArcSwap<Access>>,
    guesses: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Guard {
    pub(crate) fn new(access: Arc<ArcSwap<Access>>) -> Self {
        Self { access, guesses: Mutex::default() }
    }

    /// Whether a probe may show causes; a wrong token is ignored there.
    pub(crate) fn shows_causes(&self, headers: &HeaderMap, extensions: &Extensions) -> bool {
        let access = self.access.load();
        if let Some(right) = ShowDetails::of(extensions) {
            return right && access.details != Details::Never;
        }
        without_token(access.details, headers, extensions).unwrap_or_else(|| {
            access.details != Details::Never
                && credentials(headers).is_some_and(|t| is(access.token.as_ref(), &t))
        })
    }

    /// Whether details are shown on a route that serves them.
    pub(crate) fn shows_details(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<bool, Refused> {
        let access = self.access.load();
        if let Some(right) = ShowDetails::of(extensions) {
            return Ok(right && access.details != Details::Never);
        }
        match (access.details, &access.token, credentials(headers)) {
            (Details::Never, ..) => Ok(false),
            (_, Some(token), Some(given)) => {
                self.judge(is(Some(token), &given), extensions).map(|()| true)
            }
            (details, ..) => Ok(without_token(details, headers, extensions).unwrap_or(false)),
        }
    }

    /// Whether a token would give this request the right to details.
    #[cfg(feature = "page")]
    pub(crate) fn asks_for_token(&self, extensions: &Extensions) -> bool {
        ShowDetails::of(extensions).is_none() && self.takes_token()
    }

    /// Whether a token would give the right to details.
    #[cfg(feature = "page")]
    pub(crate) fn takes_token(&self) -> bool {
        let access = self.access.load();
        access.details != Details::Never && access.token.is_some()
    }

    /// Whether `/metrics` may be scraped.
    pub(crate) fn scrapes(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), Refused> {
        match &self.access.load().metrics_token {
            None => Ok(()),
            Some(token) => match (ShowDetails::of(extensions), credentials(headers)) {
                (Some(true), _) => Ok(()),
                (_, None) => Err(Refused::Unauthorized),
                (_, Some(given)) => self.judge(is(Some(token), &given), extensions),
            },
        }
    }

    /// Whether a request may beat `heartbeat`; `token` is that of its query.
    pub(crate) fn hears(
        &self,
        heartbeat: &Heartbeat,
        token: Option<&[u8]>,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), Refused> {
        match credentials(headers).or(token.map(Cow::Borrowed)) {
            None => Err(Refused::Unauthorized),
            Some(given) => self.judge(heartbeat.accepts(&given), extensions),
        }
    }

    /// A correct token always passes; wrong tokens are counted by address.
    fn judge(&self, right: bool, extensions: &Extensions) -> Result<(), Refused> {
        if right {
            return Ok(());
        }
        let Some(address) = peer(extensions) else { return Err(Refused::Unauthorized) };
        let now = Instant::now();
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.len() >= ADDRESSES && !guesses.contains_key(&address) {
            let oldest = guesses.iter().min_by_key(|(_, (began, _))| *began).map(|(a, _)| *a);
            oldest.map(|a| guesses.remove(&a));
        }
        let (began, count) = guesses.entry(address).or_insert((now, 0));
        if now.saturating_duration_since(*began) > WINDOW {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        Err(if *count > WRONG_TOKENS { Refused::TooMany } else { Refused::Unauthorized })
    }
}

/// Whether `given` is the token, where there is one.
fn is(token: Option<&Secret>, given: &[u8]) -> bool {
    token.is_some_and(|token| token.is(given))
}

/// Access to details if it does not depend on a token; `None` if a token decides.
fn without_token(details: Details, headers: &HeaderMap, extensions: &Extensions) -> Option<bool> {
    match details {
        Details::Always => Some(true),
        Details::Never => Some(false),
        Details::Token => None,
        // A program that embeds this crate has no configuration file.
        Details::Auto | Details::Loopback => is_local(headers, extensions).then_some(true),
    }
}

/// The token of `Authorization`: a bearer token, or the password of Basic authentication. The name
/// of a scheme is case-insensitive (RFC 9110, 11.1).
fn credentials(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, given) = value.split_at(at);
    let given = given.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Cow::Borrowed(given));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(given).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(Cow::Owned(pair[colon + 1..].to_vec()))
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip().to_canonical())
}

/// Whether the client is on this host, and no proxy forwarded the request.
fn is_local(headers: &HeaderMap, extensions: &Extensions) -> bool {
    peer(extensions).is_some_and(|ip| ip.is_loopback())
        && !FORWARDED.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(address: &str, pairs: &[(&'static str, &str)]) -> (HeaderMap, Extensions) {
        let headers = pairs.iter().map(|(k, v)| {
            let name = header::HeaderName::from_static(k);
            (name, v.parse().expect("a header value"))
        });
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo::<SocketAddr>(address.parse().expect("an address")));
        (headers.collect(), extensions)
    }

    fn access(details: Details) -> Access {
        let secret = |text| Some(Secret::new(text));
        Access { details, token: secret("right"), metrics_token: secret("scrape") }
    }

    fn guard(details: Details) -> Guard {
        Guard::new(Arc::new(ArcSwap::from_pointee(access(details))))
    }

    #[test]
    fn details_go_to_local_clients_and_to_the_token() {
        let auto = guard(Details::Auto);
        let shows = |address, pairs: &[(&'static str, &str)]| {
            let (headers, extensions) = request(address, pairs);
            auto.shows_details(&headers, &extensions)
        };
        assert_eq!(shows("127.0.0.1:9", &[]), Ok(true));
        assert_eq!(shows("[::ffff:127.0.0.1]:9", &[]), Ok(true));
        assert_eq!(shows("[::1]:9", &[]), Ok(true));
        assert_eq!(shows("10.0.0.1:9", &[]), Ok(false));
        for name in FORWARDED {
            assert_eq!(shows("127.0.0.1:9", &[(name, "10.0.0.1")]), Ok(false), "{name}");
        }
        assert_eq!(shows("10.0.0.1:9", &[("authorization", "bearer right")]), Ok(true));
        let basic = |pair: &str| format!("basic {}", STANDARD.encode(pair));
        let asks = |details, address, value: &str| {
            let (headers, extensions) = request(address, &[("authorization", value)]);
            guard(details).shows_details(&headers, &extensions)
        };
        for pair in ["anybody:right", ":right"] {
            assert_eq!(asks(Details::Token, "10.0.0.1:9", &basic(pair)), Ok(true), "{pair}");
        }
        for pair in ["right:", "a:right:", ":", "a:wrong"] {
            let refused = asks(Details::Token, "10.0.0.1:9", &basic(pair));
            assert_eq!(refused, Err(Refused::Unauthorized), "{pair}");
        }
        for value in ["Basic ???", "Basic", "Digest right", "right", &basic("right")] {
            assert_eq!(asks(Details::Token, "10.0.0.1:9", value), Ok(false), "{value}");
        }
        let wrong = shows("127.0.0.1:9", &[("authorization", "Bearer wrong")]);
        assert_eq!(wrong, Err(Refused::Unauthorized));
    }

    #[test]
    fn a_local_client_needs_the_token_unless_loopback_is_chosen() {
        for (details, shown) in [(Details::Token, false), (Details::Loopback, true)] {
            let guard = guard(details);
            let (headers, extensions) = request("127.0.0.1:9", &[]);
            assert_eq!(guard.shows_details(&headers, &extensions), Ok(shown), "{details:?}");
            assert_eq!(guard.shows_causes(&headers, &extensions), shown, "{details:?}");
            let (headers, extensions) =
                request("127.0.0.1:9", &[("authorization", "Bearer right")]);
            assert!(guard.shows_causes(&headers, &extensions), "{details:?}");
        }
    }

    #[test]
    fn never_shows_nothing_to_anybody_and_always_shows_all() {
        let (headers, extensions) = request("127.0.0.1:9", &[("authorization", "Bearer right")]);
        assert_eq!(guard(Details::Never).shows_details(&headers, &extensions), Ok(false));
        assert!(!guard(Details::Never).shows_causes(&headers, &extensions));
        let (headers, extensions) = request("10.0.0.1:9", &[]);
        assert_eq!(guard(Details::Always).shows_details(&headers, &extensions), Ok(true));
        assert!(guard(Details::Always).shows_causes(&headers, &extensions));
    }

    #[test]
    fn the_word_of_the_host_holds_whatever_stands_in_the_request() {
        for details in [Details::Auto, Details::Token, Details::Loopback, Details::Always] {
            for (right, value) in [
                (true, "Bearer of-the-host"),
                (true, "Bearer right"),
                (false, "Bearer right"),
                (false, "Bearer of-the-host"),
            ] {
                let pairs = [("authorization", value)];
                let (headers, mut extensions) = request("127.0.0.1:9", &pairs);
                extensions.insert(ShowDetails(right));
                let guard = guard(details);
                assert_eq!(guard.shows_details(&headers, &extensions), Ok(right), "{details:?}");
                assert_eq!(guard.shows_causes(&headers, &extensions), right, "{details:?}");
                let scrapes = guard.scrapes(&headers, &extensions);
                assert_eq!(scrapes.is_ok(), right, "{details:?}, {value}");
            }
        }
        let (headers, mut extensions) = request("127.0.0.1:9", &[]);
        extensions.insert(ShowDetails(true));
        assert_eq!(guard(Details::Never).shows_details(&headers, &extensions), Ok(false));
        assert!(!guard(Details::Never).shows_causes(&headers, &extensions));
    }

    #[test]
    fn probes_ignore_a_wrong_token() {
        let auto = guard(Details::Auto);
        let (headers, extensions) = request("127.0.0.1:9", &[("authorization", "Bearer wrong")]);
        assert!(auto.shows_causes(&headers, &extensions));
        let (headers, extensions) = request("10.0.0.1:9", &[("authorization", "Bearer wrong")]);
        assert!(!auto.shows_causes(&headers, &extensions));
    }

    #[test]
    fn scraping_takes_its_own_token() {
        let guard = guard(Details::Always);
        let ask = |pairs: &[(&'static str, &str)]| {
            let (headers, extensions) = request("127.0.0.1:9", pairs);
            guard.scrapes(&headers, &extensions)
        };
        assert_eq!(ask(&[]), Err(Refused::Unauthorized));
        assert_eq!(ask(&[("authorization", "Bearer right")]), Err(Refused::Unauthorized));
        assert_eq!(ask(&[("authorization", "Bearer scrape")]), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn many_wrong_tokens_are_refused_for_a_while_but_a_right_one_passes() {
        let guard = guard(Details::Auto);
        let ask = |token: &str| {
            let (headers, extensions) = request("10.0.0.1:9", &[("authorization", token)]);
            guard.shows_details(&headers, &extensions)
        };
        for _ in 0..WRONG_TOKENS {
            assert_eq!(ask("Bearer wrong"), Err(Refused::Unauthorized));
        }
        assert_eq!(ask("Bearer wrong"), Err(Refused::TooMany));
        assert_eq!(ask("Bearer right"), Ok(true));
        let rotated = Access { token: Some(Secret::new("new")), ..access(Details::Auto) };
        guard.access.store(Arc::new(rotated));
        assert_eq!(ask("Bearer new"), Ok(true));
        assert_eq!(ask("Bearer right"), Err(Refused::TooMany), "the guesses still count");
        tokio::time::advance(WINDOW + Duration::from_secs(1)).await;
        assert_eq!(ask("Bearer wrong"), Err(Refused::Unauthorized));
    }

    #[tokio::test(start_paused = true)]
    async fn guessers_are_remembered_within_bounds_the_latest_of_them() {
        let guard = guard(Details::Auto);
        let ask = |address: u32| {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + address);
            let (headers, extensions) =
                request(&format!("{ip}:9"), &[("authorization", "Bearer wrong")]);
            guard.shows_details(&headers, &extensions)
        };
        let addresses = u32::try_from(ADDRESSES).expect("it is small");
        for address in 0..=addresses {
            tokio::time::advance(Duration::from_millis(1)).await;
            for _ in 0..WRONG_TOKENS {
                assert_eq!(ask(address), Err(Refused::Unauthorized), "{address}");
            }
        }
        assert_eq!(guard.guesses.lock().expect("nobody panics").len(), ADDRESSES);
        assert_eq!(ask(addresses), Err(Refused::TooMany));
        assert_eq!(ask(1), Err(Refused::TooMany), "a known one makes no other forgotten");
        assert_eq!(ask(2), Err(Refused::TooMany));
        assert_eq!(ask(0), Err(Refused::Unauthorized), "the first was forgotten");
    }
}
