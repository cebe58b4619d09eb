//! Shared by senders over HTTP: the client, failures and `Retry-After`.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode};
use rustls::ClientConfig;

use super::{ErrorType, Failure, Retry, innermost};

const USER_AGENT: &str = concat!("vitalsign/", env!("CARGO_PKG_VERSION"));

/// Most headers of an answer; an answer with more cannot be read.
const MAX_HEADERS: usize = 1024;

/// A client that verifies by `tls`.
///
/// It reads every answer that `curl` reads: folded headers, blanks before a colon, and lines that
/// are not headers. A receiver behind an unusual proxy may have accepted the request, and a request
/// whose answer cannot be read would be sent again.
pub(crate) fn client_builder(tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        // A redirect would carry headers and contents to another host.
        .redirect(Policy::none())
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_max_headers(MAX_HEADERS)
}

/// The failure of a request that got no answer.
pub(crate) fn transport_failure(error: &reqwest::Error) -> Failure {
    let error_type = if error.is_connect() { ErrorType::Unreachable } else { ErrorType::Other };
    Failure { error_type, detail: innermost(error), retry: Retry::Soon }
}

/// Whether an answer of this status says that the credentials are wrong, or missing.
pub(crate) const fn refuses_login(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    )
}

/// The time that an answer's `Retry-After` asks for: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait = date.duration_since(jiff::Timestamp::now());
    // A date that has passed asks for no pause.
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_anything_else_is_passed_over() {
        for (text, wait) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
