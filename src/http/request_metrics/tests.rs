use axum::Router;
use axum::body::Body;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower::ServiceExt;

use super::*;
use metrics::Unit;

async fn send(app: &Router, method: &str, path: &str) {
    let request = Request::builder().method(method).uri(path).body(Body::empty());
    let answered = app.clone().oneshot(request.expect("a request")).await;
    answered.expect("a router never fails");
}

fn value(metrics: &PrometheusHandle, series: &str) -> Option<f64> {
    let text = metrics.render();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok())
}

fn count(metrics: &PrometheusHandle, method: &str, route: &str, status: u16) -> Option<f64> {
    let labels = format!(
        "http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{status}\""
    );
    value(metrics, &format!("{DURATION}_count{{{labels}}}"))
}

#[tokio::test]
async fn requests_are_counted_by_method_route_and_status() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let app = Router::new()
        .route("/ready/{check}", get(|| async { "ok" }))
        .fallback(async || hyper::StatusCode::NOT_FOUND)
        .layer(RequestMetrics::new());

    crate::telemetry::metrics::describe();
    for check in ["a", "b", "c"] {
        send(&app, "GET", &format!("/ready/{check}")).await;
    }
    send(&app, "HEAD", "/ready/a").await;
    send(&app, "BREW", "/ready/a").await;
    send(&app, "get", "/nothing/here").await;

    assert_eq!(count(&metrics, "GET", "/ready/{check}", 200), Some(3.0));
    assert_eq!(count(&metrics, "HEAD", "/ready/{check}", 200), Some(1.0));
    assert_eq!(count(&metrics, "_OTHER", "/ready/{check}", 405), Some(1.0));
    assert_eq!(count(&metrics, "_OTHER", UNMATCHED, 404), Some(1.0));
    let text = metrics.render();
    assert!(text.contains(&format!("# HELP {DURATION} Time from a request")), "{text}");
    assert!(!text.contains("nothing") && !text.contains("BREW"), "{text}");
}

#[tokio::test]
async fn a_request_is_active_until_it_is_answered_or_given_up() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let app =
        Router::new().route("/", get(std::future::pending::<()>)).layer(RequestMetrics::new());
    let mut request = Box::pin(send(&app, "GET", "/"));
    assert!(futures_util::poll!(&mut request).is_pending());
    assert_eq!(value(&metrics, ACTIVE), Some(1.0));
    drop(request);
    assert_eq!(value(&metrics, ACTIVE), Some(0.0));
    assert_eq!(count(&metrics, "GET", "/", 200), None);
}

#[tokio::test]
async fn a_request_that_passes_two_layers_is_counted_once_by_the_inner_route() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let active = metrics.clone();
    let gauge = move || async move { value(&active, ACTIVE).unwrap_or(0.0).to_string() };
    let inner = Router::new().route("/ready", get(gauge)).layer(RequestMetrics::new());
    let app = Router::new()
        .route("/orders/{id}", get(|| async {}))
        .nest_service("/vitals", inner.clone())
        .merge(inner)
        .layer(RequestMetrics::new());
    let answer = app.clone().oneshot(Request::get("/ready").body(Body::empty()).unwrap());
    let body = answer.await.unwrap().into_body();
    let body = axum::body::to_bytes(body, 100).await.unwrap();
    assert_eq!(body, "1", "it is active once");
    send(&app, "GET", "/vitals/ready").await;
    send(&app, "GET", "/orders/7").await;
    send(&app, "GET", "/nothing").await;
    let counted = [
        count(&metrics, "GET", "/ready", 200),
        count(&metrics, "GET", "/orders/{id}", 200),
        count(&metrics, "GET", UNMATCHED, 404),
        value(&metrics, ACTIVE),
    ];
    assert_eq!(counted, [Some(1.0), Some(1.0), Some(1.0), Some(0.0)]);
    let lines = metrics.render();
    let sum: f64 = lines
        .lines()
        .filter(|line| line.starts_with(&format!("{DURATION}_count")))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!((sum - 4.0).abs() < 0.1, "{lines}");
}

#[tokio::test]
async fn a_handle_is_asked_for_once() {
    struct Counting(std::sync::atomic::AtomicUsize);
    impl metrics::Recorder for Counting {
        fn describe_counter(&self, _: metrics::KeyName, _: Option<Unit>, _: metrics::SharedString) {
        }
        fn describe_gauge(&self, _: metrics::KeyName, _: Option<Unit>, _: metrics::SharedString) {}
        fn describe_histogram(
            &self,
            _: metrics::KeyName,
            _: Option<Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn register_counter(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Counter {
            metrics::Counter::noop()
        }
        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> Histogram {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Histogram::noop()
        }
    }
    let recorder = Counting(0.into());
    let _guard = metrics::set_default_local_recorder(&recorder);
    let app = Router::new().route("/", get(|| async {})).layer(RequestMetrics::new());
    for _ in 0..5 {
        send(&app, "GET", "/").await;
    }
    assert_eq!(recorder.0.load(std::sync::atomic::Ordering::Relaxed), 1);
}
