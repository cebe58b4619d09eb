//! Error answers: RFC 9457 problem details that echo nothing of the request.

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::Serialize;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// How a browser is asked for a password; whatever name comes with it is ignored.
const BASIC: &str = r#"Basic realm="vitalsign", charset="UTF-8""#;

/// An error answer, [`PROBLEM_JSON`].
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem whose detail is for people; it must hold nothing that the client sent.
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 400 for the query parameter `name`, which must be what `right` says.
    pub(crate) fn bad_parameter(name: &'static str, right: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("`{name}` must be {right}"))
    }

    /// 401: programs are asked for a bearer token, and browsers for it as the password.
    pub(crate) fn unauthorized() -> Self {
        let text = "a valid token is needed, as bearer token or as password";
        Self::new(StatusCode::UNAUTHORIZED, text)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(BASIC))
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// 404 on a route that exists.
    pub(crate) fn no_such_check() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no check of this name")
    }

    /// 404 on the route of a group.
    pub(crate) fn no_such_group() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no group of this name")
    }

    /// 405; the router adds `Allow`, which differs by route.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
    }

    /// 413.
    #[cfg(feature = "server")]
    pub(crate) fn payload_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large")
    }

    /// 429, to be tried again after so many seconds.
    pub(crate) fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens came from there")
            .retry_after(retry_after_seconds)
    }

    /// 500.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be answered")
    }

    /// 503: `detail` says what is missing for now.
    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// To be tried again after so many seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        self.with(header::RETRY_AFTER, seconds)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The body of every error answer, by RFC 9457.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "Problem"))]
pub(crate) struct Details<'a> {
    /// `about:blank`: the title is the status' own phrase, and no more is to be known.
    r#type: &'static str,
    /// What the status code means.
    title: &'static str,
    /// The status code.
    status: u16,
    /// What is wrong and what would be right, for people; nothing of the request is in it.
    detail: &'a str,
}

impl Problem {
    /// The body.
    pub(crate) fn to_json(&self) -> String {
        let details = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        // Texts and a number: they can always be written.
        serde_json::to_string(&details).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let media_type = (header::CONTENT_TYPE, PROBLEM_JSON);
        let mut response = (self.status, [media_type], self.to_json()).into_response();
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}
