//! How a route says no: RFC 9457 problem details that echo nothing of the request.
//!
//! [`finish`] gives every route these answers and the headers that all answers carry.

use std::any::Any;
use std::borrow::Cow;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
use tower::ServiceBuilder;
use tower::util::MapResponseLayer;
use tower_http::catch_panic::CatchPanicLayer;

use super::measure::Measure;

/// An error answer, `application/problem+json`.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem whose detail is for people; it must hold nothing that the client sent.
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// 400: `detail` names the parameter that is wrong, and what would be right.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401, asking for a bearer token.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "a valid bearer token is needed")
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// 404 on a route that exists.
    pub(crate) fn no_such_check() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no check of this name")
    }

    /// 405; the router adds `Allow`, which differs by route.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
    }

    /// 413.
    pub(crate) fn payload_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large")
    }

    /// 429, to be tried again after so many seconds.
    pub(crate) fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens came from there")
            .with(header::RETRY_AFTER, retry_after_seconds)
    }

    /// 500.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be answered")
    }

    /// 503: `detail` says what is missing for now.
    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // "about:blank" means that the title is the status' own phrase, and no more is to be known.
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let media_type = (header::CONTENT_TYPE, "application/problem+json");
        let mut response = (self.status, [media_type], body.to_string()).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Adds the headers that every answer carries.
pub(crate) fn guard<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Completes routes: measured, guarded, 405 for other methods and 500 for a panic as problems.
///
/// It sets no 404, so that the routes can be merged into a router that has its own.
pub(crate) fn finish<S>(routes: Router<S>, measure: Measure) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes.method_not_allowed_fallback(async || Problem::method_not_allowed()).layer(
        ServiceBuilder::new()
            .layer(measure)
            .layer(MapResponseLayer::new(guard))
            .layer(CatchPanicLayer::custom(panicked)),
    )
}

/// [`finish`] for a router of its own: any other path is a 404 problem, measured as `_unmatched`.
pub(crate) fn finish_alone<S>(routes: Router<S>, measure: Measure) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    finish(routes.fallback(async || Problem::not_found()), measure)
}

/// The panic's own text may hold anything: the panic hook shows it, the answer does not.
#[allow(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    Problem::internal().into_response()
}
