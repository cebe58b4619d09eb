//! The client of one Alertmanager: posts alerts and classifies the answer.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, StatusCode};
use url::Url;

use super::receiver_state::Batch;
use super::source::AlertSource;
use crate::config::web_url;
use crate::delivery::{
    ErrorType, Exporter, Failure, Retry, client_builder, innermost, refuses_login, retry_after,
    transport_failure,
};
use crate::net::{exporter_config, tls_limit};

/// The path of the API behind the base URL.
const API: [&str; 3] = ["api", "v2", "alerts"];

/// One Alertmanager. Its URL and headers may hold credentials, so that nothing shows them.
pub(super) struct ApiClient {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

impl ApiClient {
    /// A client for the Alertmanager at `base`: `None` unless that is an `http` or `https` URL of
    /// one host.
    ///
    /// `base` may end with the path of the API, as other senders want it. Credentials of the URL
    /// take the place of an `Authorization` among `headers`.
    pub(super) fn new(client: Client, base: &str, mut headers: HeaderMap) -> Option<Self> {
        let mut url = web_url(base).ok()?;
        if !url.username().is_empty() || url.password().is_some() {
            headers.remove(AUTHORIZATION);
        }
        url.set_fragment(None);
        let given: Vec<&str> = url.path_segments()?.filter(|part| !part.is_empty()).collect();
        // A lone `api` may well be a prefix.
        let there = [3, 2].into_iter().find(|n| given.ends_with(&API[..*n])).unwrap_or(0);
        url.path_segments_mut().ok()?.pop_if_empty().extend(&API[there..]);
        Some(Self { client, url, headers })
    }

    /// Scheme, host and port, for the log.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl Exporter<AlertSource> for ApiClient {
    async fn send(&mut self, batch: &Batch) -> Result<(), Failure> {
        // The credentials of the URL become a header here, which the client marks as sensitive.
        let post = self.client.post(self.url.clone()).headers(self.headers.clone());
        let answer = post.json(&batch.alerts).send().await.map_err(|e| unanswered(&e))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(http_failure(answer.status(), answer.headers()))
    }
}

/// A client that trusts the system's authorities, and verifies as checks do.
pub(super) fn client() -> Result<Client, String> {
    let config = exporter_config(None, None, &[])?;
    client_builder(config).no_proxy().build().map_err(|error| innermost(&error))
}

/// The failure of a post that got no answer.
fn unanswered(error: &reqwest::Error) -> Failure {
    let failure = transport_failure(error);
    let detail = tls_limit(error).unwrap_or(failure.detail);
    Failure { detail, ..failure }
}

/// The failure that an answer stands for. Its text is not shown, because it may repeat what it
/// was sent.
fn http_failure(status: StatusCode, headers: &HeaderMap) -> Failure {
    let (error_type, retry) = match status.as_u16() {
        429 => (ErrorType::RateLimited, Retry::Soon),
        503 => (ErrorType::Unavailable, Retry::Soon),
        408 | 500..=599 => (ErrorType::Other, Retry::Soon),
        _ if refuses_login(status) => (ErrorType::AuthFailed, Retry::Never),
        _ => (ErrorType::Rejected, Retry::Never),
    };
    let retry = match status.as_u16() {
        429 | 503 => retry_after(headers).map_or(retry, Retry::After),
        _ => retry,
    };
    Failure { error_type, detail: format!("HTTP status {}", status.as_u16()), retry }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::RETRY_AFTER;

    use super::*;

    fn retry(code: u16, after: Option<&str>) -> Retry {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        http_failure(StatusCode::from_u16(code).unwrap(), &headers).retry
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
        for code in [301, 400, 401, 403, 404, 407, 413, 422] {
            assert_eq!(retry(code, Some("7")), Retry::Never, "{code}");
        }
    }

    #[test]
    fn the_path_of_the_api_follows_that_of_the_url() {
        let url = |base: &str| {
            let headers = HeaderMap::new();
            ApiClient::new(client().unwrap(), base, headers).map(|client| String::from(client.url))
        };
        let of = |base| url(base).expect("a URL");
        assert_eq!(of("http://am:9093"), "http://am:9093/api/v2/alerts");
        assert_eq!(of("https://am/alerts/?key=1#top"), "https://am/alerts/api/v2/alerts?key=1");
        for whole in ["http://am:9093/api/v2/alerts", "http://am/prefix/api/v2/alerts?key=1"] {
            assert_eq!(of(whole), whole, "it is there already");
        }
        for part in ["http://am/api/v2/alerts/", "http://am/api/v2", "http://am/api/v2/"] {
            assert_eq!(of(part), "http://am/api/v2/alerts", "{part}");
        }
        assert_eq!(of("http://am/api"), "http://am/api/api/v2/alerts", "a prefix");
        for wrong in ["am:9093", "ftp://am", "", "/api"] {
            assert!(url(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_client_hides_its_credentials() {
        let base = "http://user:hunter2@am:9093/hunter2";
        let client = ApiClient::new(client().unwrap(), base, HeaderMap::new()).unwrap();
        assert_eq!(format!("{client:?}"), "ApiClient { origin: \"http://am:9093\", .. }");
    }
}
