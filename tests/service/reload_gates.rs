//! A check that is added while the service runs, and is wrong from the start.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::daemon::{free_port, wait_for};
use crate::support::http::Answer;
use crate::support::service::{Service, seen_locally};

const OWN: &str = r#"
    [checks.own]
    kind = "sqlite"
    path = "own.db"
    create = true
    interval = "1h"
"#;

/// A check of a port that nobody listens on, as after a typo.
fn wrong(threshold: u32) -> String {
    let address = free_port();
    format!(
        r#"
        [checks.typo]
        kind = "tcp"
        address = "127.0.0.1:{address}"
        interval = "200ms"
        timeout = "100ms"
        failure_threshold = {threshold}
        gates = ["health", "ready", "startup"]
        "#
    )
}

fn reconfigure(service: &Service, config: &str) {
    let path = service.dir.path().join("vitalsign.toml");
    std::fs::write(path, seen_locally(config)).expect("the configuration");
    service.signal(Signal::HUP);
}

async fn check(service: &Service) -> Value {
    let answer = service.get("/status/typo").await;
    serde_json::from_str(&answer.body).unwrap_or_default()
}

#[tokio::test]
async fn it_gates_nothing_until_it_has_failed_often_enough() {
    let service = Service::start(OWN).await;
    service.ready_is(200, r#"{"status":"up","own":"up"}"#).await;
    reconfigure(&service, &format!("{OWN}{}", wrong(1_000_000)));
    wait_for("two failed runs", async || {
        check(&service).await["consecutive_failures"].as_u64() >= Some(2)
    })
    .await;
    // It is down, for everybody to see, and yet turns nothing to 503.
    assert_eq!(check(&service).await["status"], "down");
    for path in ["/ready", "/health", "/startup", "/readyz", "/livez"] {
        let answer = service.get(path).await;
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!((answer.status, &body["typo"]), (200, &"down".into()), "{path}");
        assert_eq!(body["status"], "degraded", "{path}");
    }
    let verbose = service.get("/ready?verbose").await;
    assert_eq!(verbose.status, 200, "{}", verbose.body);
    assert!(verbose.body.contains("[-]typo failed: connection_refused"), "{}", verbose.body);
    assert!(verbose.body.ends_with("ready check passed\n"), "{}", verbose.body);
    let health_json = [("accept", "application/health+json")];
    let health_json = service.get_with("/ready", &health_json).await;
    assert_eq!(health_json.status, 200);
    assert!(health_json.body.contains("\"status\":\"warn\""), "{}", health_json.body);
    assert_eq!(service.get("/ready/typo").await.status, 503, "asked for alone, it says what it is");
    let status = service.status().await;
    assert_eq!((&status["status"], &status["ready"]), (&"degraded".into(), &true.into()));
    assert_eq!((&status["live"], &status["started"]), (&true.into(), &true.into()));
    let metrics = service.get("/metrics").await.body;
    assert!(metrics.contains("\nhealth_ready 1\n") && metrics.contains("\nhealth_live 1\n"));
    let page = service.get("/").await;
    assert!(page.body.contains("data-status=\"degraded\""), "{}", page.body);
}

#[tokio::test]
async fn it_gates_once_it_has_failed_as_often_as_the_threshold_says() {
    let service = Service::start(OWN).await;
    service.ready_is(200, r#"{"status":"up","own":"up"}"#).await;
    reconfigure(&service, &format!("{OWN}{}", wrong(3)));
    let turned = |answer: &Answer| answer.status == 503;
    let ready = service.get_until("/ready", turned).await;
    assert_eq!(ready.body, r#"{"status":"down","own":"up","typo":"down"}"#);
    assert!(check(&service).await["consecutive_failures"].as_u64() >= Some(3));
    assert_eq!(service.get("/startup").await.status, 200, "it started before");
    assert_eq!(service.get("/health").await.status, 503);
}

#[tokio::test]
async fn the_first_run_after_a_start_decides_at_once() {
    let service = Service::start(&format!("{OWN}{}", wrong(1_000_000))).await;
    let turned =
        |answer: &Answer| answer.status == 503 && answer.body.contains("\"typo\":\"down\"");
    service.get_until("/ready", turned).await;
}
