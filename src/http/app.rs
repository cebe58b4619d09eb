//! The application: the routes, and a fast path for requests that need no routing.
//!
//! A probe without parameters is by far the most frequent request, and its answer is rendered in
//! advance. [`FastPath`] sends it without the router, whose lookup, boxed futures and extensions
//! would double the cost. Everything else, such as request metrics, is the same.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use hyper::body::Body as HttpBody;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, StatusCode, Uri, header};
use tokio::time::Instant;
use tower::Service;

use super::probe;
use crate::http::accept;
use crate::http::middleware::guard;
use crate::http::request_metrics::{RequestMetrics, UNMATCHED};
use crate::http::routes::Routes;

/// An application to be served: a router, alone or with answers that come before it.
///
/// [`Health::into_app`](crate::Health::into_app) makes one, and any [`Router`] is one.
#[derive(Clone)]
pub struct App {
    router: Router,
    fast_path: Option<Arc<FastPath>>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("fast_path", &self.fast_path.is_some())
            .field("router", &self.router)
            .finish()
    }
}

impl From<Router> for App {
    fn from(router: Router) -> Self {
        Self { router, fast_path: None }
    }
}

impl App {
    pub(super) fn new(router: Router, fast_path: FastPath) -> Self {
        Self { router, fast_path: Some(Arc::new(fast_path)) }
    }

    /// The request with several slashes in its path as one; a router of the host's own gets it as it
    /// came.
    pub(super) fn normalized<B>(&self, mut request: Request<B>) -> Request<B> {
        if self.fast_path.is_some()
            && request.uri().path().contains("//")
            && let Some(uri) = with_single_slashes(request.uri())
        {
            *request.uri_mut() = uri;
        }
        request
    }

    /// The answer to a request that needs no routing.
    pub(super) fn at_once<B: HttpBody>(&self, request: &Request<B>) -> Option<Response> {
        self.fast_path.as_ref()?.answer(request)
    }

    /// What answers all others.
    #[cfg(feature = "server")]
    pub(super) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Whether the service drains, checked when an answer is ready; `None` for a host's router.
    #[cfg(feature = "server")]
    pub(super) fn draining(&self) -> Option<Draining> {
        self.fast_path.clone().map(Draining)
    }
}

/// Knows whether the drain has begun.
#[cfg(feature = "server")]
pub(super) struct Draining(Arc<FastPath>);

#[cfg(feature = "server")]
impl Draining {
    pub(super) fn has_begun(&self) -> bool {
        self.0.routes.state.draining()
    }
}

impl Service<Request<Body>> for App {
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response, Infallible>>, <Router as Service<Request<Body>>>::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request = self.normalized(request);
        match self.at_once(&request) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(self.router.call(request)),
        }
    }
}

/// The same address with each run of slashes in its path as one slash.
fn with_single_slashes(uri: &Uri) -> Option<Uri> {
    let mut path = String::with_capacity(uri.path().len());
    for c in uri.path().chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// Methods that some route takes, for `OPTIONS *`, which asks about the server as a whole.
const METHODS: &str = "GET,HEAD,POST,PUT,OPTIONS";

/// Answers requests that need no routing: probes without parameters, and `OPTIONS *`.
pub(super) struct FastPath {
    routes: Arc<Routes>,
    measure: RequestMetrics,
}

impl FastPath {
    /// Answers as `routes` would, and measures with them.
    pub(super) fn new(routes: Arc<Routes>, measure: RequestMetrics) -> Self {
        Self { routes, measure }
    }

    fn answer<B: HttpBody>(&self, request: &Request<B>) -> Option<Response> {
        let started = Instant::now();
        let (route, response) = self.probe(request).or_else(|| about_the_server(request))?;
        let mut response = guard(response);
        self.measure.record(request, route, &mut response, started.elapsed());
        Some(response)
    }

    fn probe<B: HttpBody>(&self, request: &Request<B>) -> Option<(&'static str, Response)> {
        let plain = request.method() == Method::GET
            && request.uri().query().is_none()
            && request.body().is_end_stream();
        if !plain {
            return None;
        }
        let (route, gate) = probe::at(request.uri().path())?;
        if accept::wants_health_json(request.headers()) {
            return None;
        }
        Some((route, probe::plain(&self.routes, gate)))
    }
}

/// The answer to `OPTIONS *`.
fn about_the_server<B>(request: &Request<B>) -> Option<(&'static str, Response)> {
    let asked = request.method() == Method::OPTIONS && request.uri().path() == "*";
    asked.then(|| {
        let answer = (StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]);
        (UNMATCHED, answer.into_response())
    })
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::health::Health;

    fn app() -> App {
        Health::builder("orders").build().expect("a health").into_app()
    }

    fn get(path: &str) -> Request<Body> {
        Request::get(path).body(Body::empty()).expect("a request")
    }

    async fn read(response: Response) -> (StatusCode, Vec<(String, String)>, String) {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let shown = |value: &hyper::header::HeaderValue| value.to_str().expect("text").to_owned();
        // The server adds the length of a body that it knows.
        let headers = parts.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);
        let mut headers: Vec<_> = headers.map(|(n, v)| (n.to_string(), shown(v))).collect();
        headers.sort();
        (parts.status, headers, String::from_utf8(body.into()).expect("text"))
    }

    #[tokio::test]
    async fn a_plain_probe_is_answered_as_by_its_route() {
        let app = app();
        for path in ["/ready", "/readyz", "/health", "/healthz", "/livez", "/startup", "/startupz"]
        {
            let at_once = app.at_once(&get(path)).unwrap_or_else(|| panic!("{path} at once"));
            let routed = app.router().oneshot(get(path)).await.expect("an answer");
            assert_eq!(read(at_once).await, read(routed).await, "{path}");
        }
    }

    #[tokio::test]
    async fn all_other_questions_are_left_to_the_routes() {
        let app = app();
        let mut others = vec![get("/ready?verbose"), get("/ready/"), get("/ready/database")];
        others.extend([get("/status"), get("/Ready"), get("/")]);
        let accept = |value: &str| {
            let request = Request::get("/ready").header(header::ACCEPT, value);
            request.body(Body::empty()).expect("a request")
        };
        others.push(accept(accept::HEALTH_JSON));
        for method in [Method::HEAD, Method::POST] {
            let request = Request::builder().method(method).uri("/ready");
            others.push(request.body(Body::empty()).expect("a request"));
        }
        others.push(Request::get("/ready").body("a body".into()).expect("a request"));
        for request in others {
            assert!(app.at_once(&request).is_none(), "{request:?}");
        }
        assert!(app.at_once(&accept("*/*")).is_some());
        let answer = app.clone().oneshot(get("/nothing")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn several_slashes_in_a_path_count_as_one() {
        for (uri, wanted) in [
            ("//ready", "/ready"),
            ("///ready?verbose&x=//", "/ready?verbose&x=//"),
            ("/ready//database///", "/ready/database/"),
            ("http://host//ready", "http://host/ready"),
        ] {
            let request = Request::get(uri).body(Body::empty()).expect("a request");
            assert_eq!(app().normalized(request).uri(), wanted, "{uri}");
            let request = Request::get(uri).body(Body::empty()).expect("a request");
            let host = App::from(Router::new());
            assert_eq!(host.normalized(request).uri(), uri, "a host's routes are its own");
        }
    }
}
