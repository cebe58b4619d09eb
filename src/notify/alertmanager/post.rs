//! One post to an Alertmanager, and what came of it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::alert::Alert;

const USER_AGENT: &str = concat!("vitalsign/", env!("CARGO_PKG_VERSION"));

/// Where one Alertmanager takes alerts. Its URL may hold credentials, so nothing shows it.
pub(super) struct Target {
    client: Client,
    url: Url,
    /// Scheme, host and port, for the log.
    pub(super) origin: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A post that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people; never the peer's own text, which may repeat what it was sent.
    pub(super) detail: String,
    pub(super) retry: Retry,
}

/// Whether the same may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// It will not get better by that.
    Never,
    Soon,
    /// Not before the peer's own word.
    After(Duration),
}

impl Target {
    /// What the API's path is appended to: `None` unless it is an `http` or `https` URL.
    pub(super) fn new(client: Client, base: &str) -> Option<Self> {
        let mut url = Url::parse(base).ok()?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return None;
        }
        url.set_fragment(None);
        url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v2", "alerts"]);
        let origin = url.origin().ascii_serialization();
        Some(Self { client, url, origin })
    }

    /// Posts `alerts` once, within `limit`.
    pub(super) async fn post(&self, alerts: &[Alert], limit: Duration) -> Result<(), Failure> {
        // The credentials of the URL become a header here, which the client marks as sensitive.
        let post = self.client.post(self.url.clone()).timeout(limit).json(alerts);
        let answer = post.send().await.map_err(|error| of_transport(&error, limit))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(of_answer(answer.status(), answer.headers()))
    }
}

/// A client that trusts the system's authorities.
pub(super) fn client() -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(config)
        .user_agent(USER_AGENT)
        .no_proxy()
        // A redirect would carry the credentials and the causes to another host.
        .redirect(Policy::none())
        .build()
        .map_err(|error| deepest(&error))
}

fn of_transport(error: &reqwest::Error, limit: Duration) -> Failure {
    let detail =
        if error.is_timeout() { format!("no answer within {limit:?}") } else { deepest(error) };
    Failure { detail, retry: Retry::Soon }
}

fn of_answer(status: StatusCode, headers: &HeaderMap) -> Failure {
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry = match status.as_u16() {
        429 | 503 => after.and_then(retry_after).map_or(Retry::Soon, Retry::After),
        408 | 500..=599 => Retry::Soon,
        _ => Retry::Never,
    };
    Failure { detail: format!("HTTP status {}", status.as_u16()), retry }
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    let wait = date.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// The innermost cause: it names no URL.
fn deepest(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(code: u16, after: Option<&str>) -> Retry {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        of_answer(StatusCode::from_u16(code).unwrap(), &headers).retry
    }

    #[test]
    fn what_may_get_better_is_sent_again_and_not_before_it_is_asked_for() {
        assert_eq!(retry(429, Some("7")), Retry::After(Duration::from_secs(7)));
        assert_eq!(retry(503, Some(" 7 ")), Retry::After(Duration::from_secs(7)));
        let past = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert_eq!(retry(429, Some(past)), Retry::After(Duration::ZERO));
        assert_eq!(retry(503, Some("soon")), Retry::Soon);
        for code in [408, 429, 500, 502, 503, 504] {
            assert_eq!(retry(code, None), Retry::Soon, "{code}");
        }
        for code in [301, 400, 401, 403, 404, 413, 422] {
            assert_eq!(retry(code, Some("7")), Retry::Never, "{code}");
        }
    }

    #[test]
    fn the_path_of_the_api_follows_that_of_the_url() {
        let url = |base| Target::new(client().unwrap(), base).map(|t| String::from(t.url));
        let of = |base| url(base).expect("a URL");
        assert_eq!(of("http://am:9093"), "http://am:9093/api/v2/alerts");
        assert_eq!(of("https://am/alerts/?key=1#top"), "https://am/alerts/api/v2/alerts?key=1");
        for wrong in ["am:9093", "ftp://am", "", "/api"] {
            assert!(url(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_target_hides_its_credentials() {
        let target = Target::new(client().unwrap(), "http://user:hunter2@am:9093/hunter2").unwrap();
        assert_eq!(format!("{target:?}"), "Target { origin: \"http://am:9093\", .. }");
    }
}
