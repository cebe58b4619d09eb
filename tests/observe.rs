//! The layers for hosts: clients whose calls are observed, and routes that are measured.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use vitalsign::http::RequestMetrics;
use vitalsign::observe::{BoxedErrors, Classify};
use vitalsign::{Health, Observation, Observer, Outcome, Reason, every};

/// A check `shop` that is never asked again, and its observer.
async fn shop() -> (Health, Observer) {
    let check = every(Duration::from_hours(1)).from_fn(|| ready(Ok::<_, io::Error>(())));
    let health = Health::builder("orders").check("shop", check).build().unwrap();
    while !health.ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let observer = health.observe("shop").unwrap();
    (health, observer)
}

fn last(health: &Health) -> (Outcome, Option<Reason>, Option<String>) {
    let run = health.state().check("shop").unwrap().last_run.unwrap();
    (run.outcome, run.reason, run.message.clone())
}

fn request() -> Request<()> {
    Request::new(())
}

fn answer(status: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A client that does what `respond` says.
fn client<E>(
    respond: impl Fn() -> Result<u16, E> + Clone,
) -> impl Service<Request<()>, Response = Response<()>, Error = E> {
    service_fn(move |_| ready(respond().map(answer)))
}

#[tokio::test(start_paused = true)]
async fn a_server_error_of_a_client_is_a_failure_and_a_client_error_is_none() {
    let (health, observer) = shop().await;
    for (status, outcome) in [
        (200, Outcome::Success),
        (500, Outcome::Failure),
        (404, Outcome::Success),
        (503, Outcome::Failure),
        (302, Outcome::Success),
    ] {
        let client = observer.layer().layer(client(move || Ok::<_, Infallible>(status)));
        assert_eq!(client.oneshot(request()).await.unwrap().status(), status);
        let (got, reason, message) = last(&health);
        assert_eq!(got, outcome, "{status}");
        if outcome == Outcome::Failure {
            assert_eq!(reason, Some(Reason::UnexpectedStatus));
            assert_eq!(message, Some(format!("answered {status}")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_duration_of_a_call_ends_with_the_head_of_its_answer() {
    let (health, observer) = shop().await;
    let slow = service_fn(|_: Request<()>| async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok::<_, Infallible>(answer(200))
    });
    let client = observer.layer().layer(slow);
    client.clone().oneshot(request()).await.unwrap();
    let run = |health: &Health| health.state().check("shop").unwrap().last_run.unwrap();
    assert_eq!(run(&health).duration, Duration::from_millis(30));
    let given_up = tokio::time::timeout(Duration::from_millis(20), client.oneshot(request()));
    assert!(given_up.await.is_err());
    assert_eq!(run(&health).duration, Duration::from_millis(30), "it counts nothing");
}

#[derive(Debug, thiserror::Error)]
#[error("https://user:hunter2@shop/ is not there")]
struct NotThere(#[source] Option<io::Error>);

#[tokio::test(start_paused = true)]
async fn an_error_of_a_client_is_a_failure_with_the_reason_at_its_root_and_no_text() {
    let (health, observer) = shop().await;
    for (cause, reason) in [
        (None, Reason::Other),
        (Some(io::ErrorKind::ConnectionRefused), Reason::ConnectionRefused),
        (Some(io::ErrorKind::ConnectionReset), Reason::ConnectionReset),
    ] {
        let fails = move || Err(NotThere(cause.map(io::Error::from)));
        let client = observer.layer().layer(client(fails));
        client.oneshot(request()).await.unwrap_err();
        assert_eq!(last(&health), (Outcome::Failure, Some(reason), None));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_tower_are_boxed_and_its_timeouts_count_as_such() {
    let (health, observer) = shop().await;
    let never =
        service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, BoxError>>());
    let client = ServiceBuilder::new()
        .layer(observer.layer().classify(BoxedErrors))
        .timeout(Duration::from_millis(50))
        .service(never);
    client.oneshot(request()).await.unwrap_err();
    assert_eq!(last(&health), (Outcome::Timeout, Some(Reason::Timeout), None));
}

#[tokio::test(start_paused = true)]
async fn what_counts_as_a_failure_can_be_decided_otherwise() {
    let (health, observer) = shop().await;
    let layer =
        observer.layer().classify(|result: Result<&Response<()>, &Infallible>| {
            match result.map(Response::status) {
                Ok(StatusCode::TOO_MANY_REQUESTS) => Reason::Overloaded.into(),
                Ok(StatusCode::NOT_FOUND) => Observation::Ignored,
                other => vitalsign::observe::ByStatus.classify(other.map(|_| result.unwrap())),
            }
        });
    for (status, reason) in [
        (429, Some(Reason::Overloaded)),
        (404, Some(Reason::Overloaded)),
        (200, None),
        (500, Some(Reason::UnexpectedStatus)),
    ] {
        layer.layer(client(move || Ok(status))).oneshot(request()).await.unwrap();
        assert_eq!(last(&health).1, reason, "{status}");
    }
}

#[tokio::test]
async fn a_hosts_routes_are_measured_and_those_of_health_are_counted_once() {
    let (health, _) = shop().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let app: Router = Router::new()
        .route("/orders/{id}", get(|| async {}).post(|| async { StatusCode::CREATED }))
        .merge(health.router())
        .nest_service("/vitals", health.clone().into_app())
        .layer(RequestMetrics::new());
    let requests = [
        ("GET", "/orders/7"),
        ("GET", "/orders/8"),
        ("POST", "/orders/7"),
        ("BREW", "/orders/7"),
        ("GET", "/nothing"),
        ("GET", "/ready"),
        ("GET", "/ready/shop"),
        ("GET", "/vitals/health"),
        ("GET", "/vitals/nothing"),
    ];
    for (method, path) in requests {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap();
    }
    let text = metrics.render();
    let name = "http_server_request_duration_seconds_count";
    let mut counted: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(name)).collect();
    counted.sort_unstable();
    let series = |method: &str, route: &str, status: u16, count: u32| {
        format!(
            "{{http_request_method=\"{method}\",http_route=\"{route}\",\
             http_response_status_code=\"{status}\"}} {count}"
        )
    };
    let mut wanted = [
        series("GET", "/orders/{id}", 200, 2),
        series("POST", "/orders/{id}", 201, 1),
        series("_OTHER", "/orders/{id}", 405, 1),
        series("GET", "_unmatched", 404, 2),
        series("GET", "/ready", 200, 1),
        series("GET", "/ready/{check}", 200, 1),
        series("GET", "/health", 200, 1),
    ];
    wanted.sort_unstable();
    assert_eq!(counted, wanted);
    assert!(text.contains("\nhttp_server_active_requests 0\n"), "{text}");
}
