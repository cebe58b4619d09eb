//! Heartbeats as those who send them meet them.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;
use vitalsign::{Declared, Health, checks, every};

use crate::support::http::{Answer, Client};
use crate::support::service::Service;

const RIGHT: (&str, &str) = ("authorization", "Bearer s3cr3t");
const WRONG: (&str, &str) = ("authorization", "Bearer wrong");

/// Runs so seldom that what is shown sooner was not waited for.
const CONFIG: &str = r#"
    [checks.nightly]
    kind = "heartbeat"
    grace = "1h"
    token = "s3cr3t"
    interval = "30m"
    gates = []
    [checks.database]
    kind = "sqlite"
    path = "own.db"
    create = true
"#;

async fn tell(service: &Service, name: &str, headers: &[(&str, &str)]) -> Answer {
    service.ask("POST", &format!("/heartbeat/{name}"), headers).await
}

/// Waits for the first run, without which nobody calls for one.
async fn waiting(config: &str) -> Service {
    let service = Service::start(config).await;
    let unknown = |answer: &Answer| answer.body.contains("\"outcome\":\"unknown\"");
    service.get_until("/status/nightly", unknown).await;
    service
}

#[tokio::test]
async fn a_heartbeat_is_waited_for_and_shown_at_once() {
    let service = waiting(CONFIG).await;
    let status = service.get("/status/nightly").await.body;
    assert!(status.contains("\"reason\":\"local_resource\""), "{status}");
    assert!(status.contains("no heartbeat has come yet, and grace = 1h is not over"), "{status}");

    let answer = tell(&service, "nightly", &[RIGHT]).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let up = |answer: &Answer| answer.body.contains("\"status\":\"up\"");
    let status = service.get_until("/status/nightly", up).await.body;
    assert!(status.contains("\"heartbeat_age_seconds\":"), "{status}");

    let route = "http_route=\"/heartbeat/{check}\",http_response_status_code=\"204\"";
    let metrics = service.get("/metrics").await.body;
    assert!(metrics.contains(route), "{metrics}");
}

#[tokio::test]
async fn a_heartbeat_that_stays_away_is_missed_until_it_comes_back() {
    let config = CONFIG.replace("\"1h\"", "\"100ms\"").replace("\"30m\"", "\"50ms\"");
    let service = Service::start(&config).await;
    let missed = |answer: &Answer| {
        answer.body.contains("\"status\":\"down\"") && answer.body.contains("missed_heartbeat")
    };
    service.get_until("/status/nightly", missed).await;
    assert_eq!(service.get("/ready/nightly").await.status, 503);
    let up = async || {
        assert_eq!(tell(&service, "nightly", &[RIGHT]).await.status, 204);
        service.get("/ready/nightly").await.status == 200
    };
    crate::support::daemon::wait_for("the check to be up", up).await;
    service.get_until("/status/nightly", missed).await;
}

#[tokio::test]
async fn without_its_token_nothing_is_heard() {
    let service = waiting(CONFIG).await;
    // The password is `wrong`.
    let basic = ("authorization", "Basic eDp3cm9uZw==");
    for headers in [&[][..], &[WRONG], &[basic], &[("authorization", "Basic s3cr3t")]] {
        let answer = tell(&service, "nightly", headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for name in ["nobody", "database", "%ff", "NIGHTLY"] {
        let answer = tell(&service, name, &[RIGHT]).await;
        assert_eq!(answer.status, 404, "{name}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    for method in ["DELETE", "PATCH", "OPTIONS"] {
        let answer = service.ask(method, "/heartbeat/nightly", &[RIGHT]).await;
        let allowed = (answer.status, answer.header("allow"));
        assert_eq!(allowed, (405, Some("GET,HEAD,POST,PUT")), "{method}");
    }
    let mut refused = 0;
    while tell(&service, "nightly", &[WRONG]).await.status != 429 {
        refused += 1;
        assert!(refused < 20, "guessing goes on and on");
    }
    assert!(!service.get("/status/nightly").await.body.contains("heartbeat_age_seconds"));
    assert_eq!(tell(&service, "nightly", &[RIGHT]).await.status, 204, "the right one passes");
    assert!(!service.log().contains("s3cr3t"), "{}", service.log());
}

#[tokio::test]
async fn it_is_heard_by_every_method_and_with_its_token_in_any_place() {
    let service = waiting(CONFIG).await;
    // The password is `s3cr3t`.
    let basic = ("authorization", "Basic YW55Ym9keTpzM2NyM3Q=");
    for method in ["GET", "HEAD", "POST", "PUT"] {
        for (path, headers) in [
            ("/heartbeat/nightly", &[RIGHT][..]),
            ("/heartbeat/nightly", &[basic]),
            ("/heartbeat/nightly?token=s3cr3t", &[]),
            ("//heartbeat//nightly?token=s3cr3t", &[]),
        ] {
            let mut client = Client::connect(service.address).await;
            let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            let headers: String = headers.collect();
            client.send(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).await;
            let answer = client.head().await.expect("an answer");
            assert_eq!(answer.status, 204, "{method} {path}");
            assert_eq!(answer.header("content-length"), None, "{method} {path}");
        }
    }
    let wrong = service.ask("GET", "/heartbeat/nightly?token=wrong", &[]).await;
    assert_eq!(wrong.status, 401);
    assert!(!service.log().contains("s3cr3t"), "{}", service.log());
}

#[tokio::test]
async fn a_body_of_any_size_is_taken_and_its_beginning_kept_as_message() {
    let service = waiting(CONFIG).await;
    let head = "POST /heartbeat/nightly HTTP/1.1\r\nhost: x\r\nauthorization: Bearer s3cr3t\r\n";
    let mut client = Client::connect(service.address).await;
    for size in [0, 1, 10 * 1024, 64 * 1024 + 1, 5_000_000] {
        // On one connection: the body was read to its end.
        let body = "x".repeat(size);
        client.send(format!("{head}content-length: {size}\r\n\r\n{body}")).await;
        assert_eq!(client.head().await.expect("an answer").status, 204, "{size}");
    }
    let chunk = format!("20000\r\n{}\r\n", "y".repeat(0x20000));
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(client.head().await.expect("an answer").status, 204);

    // The first beat made it run, with what was sent before that run.
    let config = CONFIG.replace("\"30m\"", "\"50ms\"");
    let service = waiting(&config).await;
    let body = format!("2 files lost\n{}", "z".repeat(20_000));
    client = Client::connect(service.address).await;
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(client.head().await.expect("an answer").status, 204);
    let kept = |answer: &Answer| answer.body.contains("\"message\":\"2 files lost\\nzzz");
    let status = service.get_until("/status/nightly", kept).await.body;
    assert_eq!(status.matches('z').count(), 10 * 1024 - "2 files lost\n".len());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_heartbeat() {
    let service = waiting(CONFIG).await;
    let head = "POST /heartbeat/nightly HTTP/1.1\r\nhost: x\r\nauthorization: Bearer s3cr3t\r\n";
    let mut client = Client::connect(service.address).await;
    client.send(format!("{head}content-length: 100\r\n\r\nhalf")).await;
    client.end_sending().await;
    client.closed().await;
    assert!(!service.get("/status/nightly").await.body.contains("heartbeat_age_seconds"));
}

#[tokio::test]
async fn a_changed_declaration_keeps_what_was_heard() {
    let service = waiting(CONFIG).await;
    assert_eq!(tell(&service, "nightly", &[RIGHT]).await.status, 204);
    let up = |answer: &Answer| answer.body.contains("\"status\":\"up\"");
    service.get_until("/status/nightly", up).await;
    let changed = CONFIG.replace("s3cr3t", "rotated").replace("\"30m\"", "\"20m\"");
    std::fs::write(service.dir.path().join("vitalsign.toml"), changed).expect("to write");
    service.signal(rustix::process::Signal::HUP);
    let applied = |answer: &Answer| answer.body.contains("\"interval_seconds\":1200");
    service.get_until("/status/nightly", applied).await;
    assert_eq!(tell(&service, "nightly", &[RIGHT]).await.status, 401, "the old token is over");
    let runs = |answer: &Answer| {
        let good =
            "health_check_runs_total{check=\"nightly\",kind=\"heartbeat\",outcome=\"success\"}";
        answer.body.contains(&format!("{good} 2"))
    };
    service.get_until("/metrics", runs).await;
}

#[tokio::test]
async fn a_host_has_the_route_and_may_tell_by_itself() {
    let heartbeat = checks::heartbeat(Duration::from_mins(1), "s3cr3t");
    let nightly: Declared = every(Duration::from_mins(30)).check(heartbeat.clone());
    let built = Health::builder("orders").check("nightly", nightly).build();
    let health = built.expect("a valid plan");
    heartbeat.beat();
    crate::support::daemon::wait_for("its first run", async || health.ready()).await;
    let router: axum::Router = health.router();
    let request = |token: &str| {
        Request::post("/heartbeat/nightly")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .expect("a request")
    };
    let right = router.clone().oneshot(request("s3cr3t")).await.expect("an answer");
    assert_eq!(right.status(), 204);
    let wrong = router.oneshot(request("wrong")).await.expect("an answer");
    assert_eq!(wrong.status(), 401);
}
