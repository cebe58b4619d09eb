//! Middleware of every route: request metrics, common headers, and answers after panics.

use axum::Router;
use axum::response::Response;
use hyper::header::{self, HeaderValue};
use tower::ServiceBuilder;
use tower::util::MapResponseLayer;

use super::panics::CatchPanic;
use super::problem::Problem;
use super::request_metrics::RequestMetrics;

/// Adds the headers that every answer carries.
pub(crate) fn guard<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    // Only assets, whose name contains a digest of their content, set another value.
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
    use hyper::header::HeaderName;
    use hyper::{Request, StatusCode};
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
