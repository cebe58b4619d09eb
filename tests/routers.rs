//! How a host puts the routes where it wants them, and how it stops.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use tokio::time::Instant;
use tower::ServiceExt;
use vitalsign::{Health, every};

/// A service whose only check, `name`, is well.
async fn well(name: &str) -> Health {
    let check = every(Duration::from_secs(1)).from_fn(|| async { Ok::<_, std::io::Error>(()) });
    let health = Health::builder(name).check(name, check).build().expect("a health");
    while !health.ready() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    health
}

async fn ask(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let answer = app.clone().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8(body.into()).expect("text"))
}

#[tokio::test(start_paused = true)]
async fn two_services_live_under_two_paths_of_one_router() {
    let (orders, stock) = (well("orders").await, well("stock").await);
    let app: Router = orders.router_at("/orders").merge(stock.router_at("internal/stock/"));
    assert_eq!(ask(&app, "/orders/ready").await.1, r#"{"status":"up","orders":"up"}"#);
    assert_eq!(ask(&app, "/internal/stock/ready").await.1, r#"{"status":"up","stock":"up"}"#);
    assert_eq!(ask(&app, "/orders/ready/orders").await.0, StatusCode::OK);
    assert_eq!(ask(&app, "/ready").await.0, StatusCode::NOT_FOUND);
    let root: Router = orders.router_at("/");
    assert_eq!(ask(&root, "/ready").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn probes_and_details_go_to_listeners_of_their_own() {
    let health = well("orders").await;
    let (probes, details): (Router, Router) = (health.probe_router(), health.detail_router());
    for path in ["/ready", "/health", "/startup", "/livez", "/ready/orders"] {
        assert_eq!(ask(&probes, path).await.0, StatusCode::OK, "{path}");
        assert_eq!(ask(&details, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/status", "/metrics", "/status/orders", "/openapi.json"] {
        assert_eq!(ask(&probes, path).await.0, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(ask(&details, path).await.0, StatusCode::OK, "{path}");
    }
    let (_, document) = ask(&details, "/openapi.json").await;
    assert!(document.contains("\"/status\"") && !document.contains("\"/ready\""), "{document}");
    // Both together are one router.
    let both: Router = probes.merge(details);
    assert_eq!(ask(&both, "/status").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_drains_before_it_begins() {
    let health = well("orders").await;
    let app: Router = health.router();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = async move { stopped.await.expect("a signal") };
    let shutdown = tokio::spawn(health.shutdown(signal, Duration::from_secs(5)));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(health.ready(), "without a signal nothing happens");

    let signalled = Instant::now();
    stop.send(()).expect("somebody waits");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (status, body) = ask(&app, "/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("draining"), "{body}");
    assert!(!shutdown.is_finished(), "balancers have not noticed yet");
    shutdown.await.expect("it ends");
    assert_eq!(signalled.elapsed(), Duration::from_secs(5));
    assert_eq!(ask(&app, "/events").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_of_every_check() {
    let snapshot = well("orders").await.snapshot();
    let names: Vec<&str> = snapshot.checks.iter().map(|check| &*check.info.name).collect();
    assert_eq!((snapshot.ready, names), (true, vec!["orders"]));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_a_promise_to_any_number_of_listeners() {
    let health = well("orders").await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = async move { stopped.await.expect("a signal") };
    let shutdown = health.shutdown(signal, Duration::from_secs(5));
    let listeners: Vec<_> = (0..2).map(|_| tokio::spawn(shutdown.clone())).collect();
    // One that gives up waiting takes nothing from the others.
    let given_up = tokio::time::timeout(Duration::from_secs(1), shutdown.clone()).await;
    assert!(given_up.is_err() && health.ready());
    let signalled = Instant::now();
    stop.send(()).expect("somebody waits");
    for listener in listeners {
        listener.await.expect("it ends");
        assert_eq!(signalled.elapsed(), Duration::from_secs(5), "they end together");
    }
    let mut shutdown = shutdown;
    for _ in 0..2 {
        (&mut shutdown).await;
        shutdown.clone().await;
    }
    assert_eq!(signalled.elapsed(), Duration::from_secs(5), "it has come, once");
}
