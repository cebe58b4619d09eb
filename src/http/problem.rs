//! How a route says no: RFC 9457 problem details that echo nothing of the request.
//!
//! [`finish`] gives every route these answers and the headers that all answers carry.

use std::borrow::Cow;
use std::fmt;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::Serialize;
use tower::ServiceBuilder;
use tower::util::MapResponseLayer;

use super::panics::CatchPanic;
use super::request_metrics::RequestMetrics;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error answer, [`PROBLEM_JSON`].
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

    /// 400 for the query parameter `name`, which must be what `right` says.
    #[cfg(feature = "history")]
    pub(crate) fn bad_parameter(name: &'static str, right: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("`{name}` must be {right}"))
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let media_type = (header::CONTENT_TYPE, PROBLEM_JSON);
        // Texts and a number: they can always be written.
        let body = serde_json::to_string(&details).unwrap_or_default();
        let mut response = (self.status, [media_type], body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Adds the headers that every answer carries.
pub(crate) fn guard<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    // Only what has a digest of its content for a name says otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Completes routes: measured, guarded, 405 for other methods and 500 for a panic as problems.
///
/// It sets no 404, so that the routes can be merged into a router that has its own.
pub(crate) fn finish<S>(routes: Router<S>, measure: RequestMetrics) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes.method_not_allowed_fallback(async || Problem::method_not_allowed()).layer(
        ServiceBuilder::new().layer(measure).layer(MapResponseLayer::new(guard)).layer(CatchPanic),
    )
}

/// [`finish`] for a router of its own: any other path is a 404 problem, measured as `_unmatched`.
pub(crate) fn finish_alone<S>(routes: Router<S>, measure: RequestMetrics) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    finish(routes.fallback(async || Problem::not_found()), measure)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::{get, post};
    use http_body_util::BodyExt;
    use hyper::Request;
    use tower::ServiceExt;

    use super::*;

    fn app() -> Router {
        let routes = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/heartbeat/{check}", post(|| async {}))
            .route("/panic", get(|| async { panic!("with a secret") as () }))
            .route("/token", get(|| async { Problem::unauthorized() }))
            .route("/often", get(|| async { Problem::too_many_requests(30) }))
            .route(
                "/bad",
                get(|| async { Problem::new(StatusCode::BAD_REQUEST, "`from` must be RFC 3339") }),
            )
            .route("/later", get(|| async { Problem::unavailable("no history is kept") }));
        finish_alone(routes, RequestMetrics::new())
    }

    async fn send(method: &str, path: &str) -> (Response<()>, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let response = app().oneshot(request.expect("a request")).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(body.into()).expect("text"))
    }

    fn header(response: &Response<()>, name: HeaderName) -> Option<&str> {
        response.headers().get(name).map(|value| value.to_str().expect("text"))
    }

    #[tokio::test]
    async fn every_refusal_is_a_problem_that_echoes_nothing() {
        let cases = [
            ("GET", "/sneaky?x=%3Csneaky%3E", 404, "Not Found"),
            ("POST", "/?x=sneaky", 405, "Method Not Allowed"),
            ("OPTIONS", "/", 405, "Method Not Allowed"),
            ("sneaky", "/", 405, "Method Not Allowed"),
            ("GET", "/panic", 500, "Internal Server Error"),
            ("GET", "/token", 401, "Unauthorized"),
            ("GET", "/often", 429, "Too Many Requests"),
            ("GET", "/bad", 400, "Bad Request"),
            ("GET", "/later", 503, "Service Unavailable"),
        ];
        for (method, path, status, title) in cases {
            let (response, body) = send(method, path).await;
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
            let media_type = header(&response, header::CONTENT_TYPE);
            assert_eq!(media_type, Some("application/problem+json"), "{path}");
            let problem: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(problem["type"], "about:blank");
            assert_eq!((&problem["title"], &problem["status"]), (&title.into(), &status.into()));
            assert!(problem["detail"].is_string() && !body.contains("sneaky"), "{body}");
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[tokio::test]
    async fn refusals_say_what_would_be_right() {
        let allow = |response: &Response<()>| header(response, header::ALLOW).map(str::to_owned);
        assert_eq!(allow(&send("POST", "/").await.0).as_deref(), Some("GET,HEAD"));
        assert_eq!(allow(&send("GET", "/heartbeat/x").await.0).as_deref(), Some("POST"));
        let unauthorized = send("GET", "/token").await.0;
        assert_eq!(header(&unauthorized, header::WWW_AUTHENTICATE), Some("Bearer"));
        assert_eq!(header(&send("GET", "/often").await.0, header::RETRY_AFTER), Some("30"));
    }

    #[tokio::test]
    async fn every_answer_forbids_caches_and_sniffing() {
        for path in ["/", "/nothing", "/panic", "/token"] {
            let (response, _) = send("GET", path).await;
            assert_eq!(header(&response, header::CACHE_CONTROL), Some("no-store"), "{path}");
            assert_eq!(header(&response, header::X_CONTENT_TYPE_OPTIONS), Some("nosniff"));
        }
    }

    #[tokio::test]
    async fn head_is_get_without_the_body() {
        let (response, body) = send("HEAD", "/").await;
        assert_eq!((response.status().as_u16(), body.as_str()), (200, ""));
        assert_eq!(header(&response, header::CONTENT_LENGTH), Some("5"));
        let (response, body) = send("HEAD", "/nothing").await;
        assert_eq!((response.status().as_u16(), body.as_str()), (404, ""));
    }

    #[tokio::test]
    async fn finished_routes_merge_into_a_router_with_its_own_404() {
        let routes = Router::new().route("/ready", get(|| async { "up" }));
        let host = Router::new().fallback(|| async { "the host's" });
        let app: Router = host.merge(finish(routes, RequestMetrics::new()));
        let request = Request::get("/nothing").body(Body::empty()).expect("a request");
        let body = app.oneshot(request).await.expect("an answer").into_body();
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "the host's");
    }
}
