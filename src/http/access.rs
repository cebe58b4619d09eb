//! Who may see and tell what: the right to details, and the tokens of `/metrics` and of heartbeats.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, header};
use tokio::time::Instant;

use crate::engine::check::Heartbeat;
use crate::health::Access;
use crate::model::{Details, Secret};

/// Wrong tokens from one address within [`WINDOW`] before it is told to stop.
const WRONG_TOKENS: u32 = 10;
pub(crate) const WINDOW_SECONDS: u32 = 60;
const WINDOW: Duration = Duration::from_secs(WINDOW_SECONDS as u64);

/// Addresses remembered at most; past it the one whose window began first is forgotten.
const ADDRESSES: usize = 1024;

/// Headers by which a proxy says that it forwards for somebody else.
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

/// Decides by the rules of an [`Access`], and remembers who guesses.
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
        match access.details {
            Details::Always => true,
            Details::Never => false,
            Details::Auto => {
                is_local(headers, extensions)
                    || bearer(headers).is_some_and(|t| is(access.token.as_ref(), t))
            }
        }
    }

    /// Whether details are shown on a route that serves them.
    pub(crate) fn shows_details(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<bool, Refused> {
        let access = self.access.load();
        match (access.details, &access.token, bearer(headers)) {
            (Details::Never, ..) => Ok(false),
            (_, Some(token), Some(given)) => {
                self.judge(is(Some(token), given), extensions).map(|()| true)
            }
            (Details::Always, ..) => Ok(true),
            (Details::Auto, ..) => Ok(is_local(headers, extensions)),
        }
    }

    /// Whether `/metrics` may be scraped.
    pub(crate) fn scrapes(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), Refused> {
        match &self.access.load().metrics_token {
            None => Ok(()),
            Some(token) => match bearer(headers) {
                None => Err(Refused::Unauthorized),
                Some(given) => self.judge(is(Some(token), given), extensions),
            },
        }
    }

    /// Whether `heartbeat` may be told.
    pub(crate) fn tells(
        &self,
        heartbeat: &Heartbeat,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(), Refused> {
        match bearer(headers) {
            None => Err(Refused::Unauthorized),
            Some(given) => self.judge(heartbeat.accepts(given), extensions),
        }
    }

    /// A right token always passes; wrong ones are counted by address.
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

/// The token of `Authorization: Bearer …`; the scheme is case-insensitive (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip().to_canonical())
}

/// A client on this machine that no proxy forwarded.
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
        let wrong = shows("127.0.0.1:9", &[("authorization", "Bearer wrong")]);
        assert_eq!(wrong, Err(Refused::Unauthorized));
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
    async fn many_wrong_tokens_are_told_to_stop_but_a_right_one_passes() {
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
