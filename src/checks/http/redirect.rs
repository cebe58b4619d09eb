//! Follows redirects without sending secrets to other hosts.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::response;
use hyper::{Method, StatusCode};

use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net::Target;

use super::Http;

/// Most redirects that one run follows.
pub(super) const MOST: u8 = 10;

/// A request to the target of a redirect.
pub(super) struct Hop {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) with_body: bool,
    /// Whether every hop so far stayed at the configured scheme, host and port.
    at_home: bool,
    count: u8,
}

/// Configured headers that contain no secret and are also sent to other hosts.
const HARMLESS: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CACHE_CONTROL,
    header::USER_AGENT,
];

/// Headers that describe a body; they are removed together with the body.
const OF_BODY: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE];

impl Hop {
    /// This hop, unless the limit is exceeded.
    pub(super) fn counted(self: Box<Self>) -> Result<Box<Self>, Failure> {
        if self.count <= MOST {
            return Ok(self);
        }
        let text = format!("redirected more than {MOST} times, last to {}", self.target.endpoint());
        Err(Failure::new(Reason::TooManyRedirects, text).answered())
    }

    /// Number of earlier requests in this run.
    pub(super) fn count(&self) -> i64 {
        self.count.into()
    }

    /// Whether the configured header `name` is sent on this hop.
    ///
    /// Any configured header may be secret, except those known to be harmless. Once a redirect has
    /// led away from the configured host, the others are not sent again in this run.
    pub(super) fn sends(&self, name: &HeaderName) -> bool {
        if OF_BODY.contains(name) {
            return self.with_body;
        }
        self.at_home || HARMLESS.contains(name)
    }
}

/// The next request, if the answer `head` to `last`, or to the configured request, is a redirect;
/// `None` if the answer itself is the result.
pub(super) fn next(
    check: &Http,
    last: Option<&Hop>,
    head: &response::Parts,
) -> Result<Option<Hop>, Failure> {
    let from = last.map_or(&check.target, |hop| &hop.target);
    let method = last.map_or(&check.method, |hop| &hop.method);
    let had_body = last.map_or(check.body.is_some(), |hop| hop.with_body);
    let location = head.headers.get(header::LOCATION).map(HeaderValue::as_bytes);
    // Some servers send an empty `Location` without meaning a redirect.
    let Some(location) = location.filter(|text| !text.is_empty()) else { return Ok(None) };
    let rewritten = match head.status {
        // RFC 9110, section 15.4: 303 requests GET, 301 and 302 change POST to GET.
        StatusCode::SEE_OTHER => *method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
        _ => return Ok(None),
    };
    let wrong = |what: &str| {
        let text = format!("{} redirects to {what}", from.endpoint());
        Failure::new(Reason::Protocol, text).answered()
    };
    let url = from.join(location).ok_or_else(|| wrong("what is no URL"))?;
    let target = Target::new(url).map_err(|_| wrong("what is no http or https URL"))?;
    let at_home = last.is_none_or(|hop| hop.at_home) && target.same_origin(&check.target);
    let with_body = had_body && !rewritten;
    if with_body && !at_home {
        // The body may be secret, too, so the redirect itself is the answer.
        return Ok(None);
    }
    let method = if rewritten { Method::GET } else { method.clone() };
    let count = last.map_or(0, |hop| hop.count) + 1;
    Ok(Some(Hop { target, method, with_body, at_home, count }))
}
