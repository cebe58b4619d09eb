//! What orchestrators ask, and every form in which they may.

use serde_json::{Value, json};

use crate::support::daemon::free_port;
use crate::support::service::Service;

/// One check up, one down that gates nothing.
async fn mixed() -> Service {
    let closed = free_port();
    let config = format!(
        r#"
        [defaults]
        interval = "1s"
        [checks.database]
        kind = "sqlite"
        path = "own.db"
        create = true
        gates = ["ready", "startup"]
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{closed}"
        gates = []
        "#
    );
    let service = Service::start(&config).await;
    service.ready_is(200, r#"{"status":"up","database":"up"}"#).await;
    let down = |body: &str| body.contains(r#""status":"down""#);
    service.get_until("/ready/cache", |answer| down(&answer.body)).await;
    service
}

#[tokio::test]
async fn the_embedded_default_checks_its_own_database() {
    let service = Service::start("").await;
    service.ready_is(200, r#"{"status":"up","database":"up"}"#).await;
    let verbose = service.get("/ready?verbose").await;
    assert_eq!(verbose.body, "[+]database ok\nready check passed\n");
    let page = service.get("/metrics").await.body;
    assert!(page.contains(r#"health_check_up{check="database",kind="sqlite"} 1"#), "{page}");
    assert!(page.contains("process_cpu_seconds_total"), "{page}");
    assert!(page.contains("tokio_runtime_"), "{page}");
}

#[tokio::test]
async fn an_informative_check_shows_in_no_probe_but_degrades_the_service() {
    let service = mixed().await;
    for path in ["/ready", "/readyz"] {
        assert_eq!(service.get(path).await.body, r#"{"status":"up","database":"up"}"#, "{path}");
    }
    for path in ["/startup", "/startupz"] {
        assert_eq!(service.get(path).await.body, r#"{"status":"up","database":"up"}"#, "{path}");
    }
    for path in ["/health", "/healthz", "/livez"] {
        assert_eq!(service.get(path).await.body, r#"{"status":"up"}"#, "{path}");
    }
    assert_eq!(service.status().await["status"], "degraded");
}

#[tokio::test]
async fn one_check_alone_answers_whatever_it_gates() {
    let service = mixed().await;
    for prefix in ["/health", "/ready"] {
        let up = service.get(&format!("{prefix}/database")).await;
        assert_eq!((up.status, up.body.as_str()), (200, r#"{"status":"up"}"#));
        let down = service.get(&format!("{prefix}/cache")).await;
        assert_eq!((down.status, down.body.as_str()), (503, r#"{"status":"down"}"#));
        let none = service.get(&format!("{prefix}/nope")).await;
        assert_eq!(none.status, 404);
        assert_eq!(none.header("content-type"), Some("application/problem+json"));
        assert!(!none.body.contains("nope"), "errors echo no input");
    }
    let verbose = service.get("/ready/cache?verbose").await;
    assert_eq!(verbose.body, "[-]cache failed: connection_refused\ncache check failed\n");
}

#[tokio::test]
async fn excluded_checks_are_as_if_they_did_not_exist() {
    let service = mixed().await;
    let without = service.get("/ready?exclude=database").await;
    assert_eq!((without.status, without.body.as_str()), (200, r#"{"status":"up"}"#));
    let verbose = service.get("/ready?verbose&exclude=database&exclude=n%0Aope").await;
    assert_eq!(
        verbose.body,
        "warn: 1 of the excluded names belong to no check\nready check passed\n"
    );
    assert_eq!(verbose.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn the_ietf_format_is_given_to_those_who_ask_for_it() {
    let service = mixed().await;
    let answer = service.get_with("/ready", &[("accept", "application/health+json")]).await;
    assert_eq!(answer.header("content-type"), Some("application/health+json"));
    let document: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(document["status"], "pass");
    assert_eq!(document["checks"]["database:responseTime"][0]["status"], "pass");
    assert_eq!(document["checks"]["database:responseTime"][0]["observedUnit"], "s");

    let failed = service.get_with("/ready/cache", &[("accept", "application/health+json")]).await;
    assert_eq!(failed.status, 503);
    let document: Value = serde_json::from_str(&failed.body).expect("JSON");
    assert_eq!(document["status"], "fail");
    let output = &document["checks"]["cache:responseTime"][0]["output"];
    assert!(output.as_str().is_some_and(|o| o.starts_with("connection_refused: ")), "{output}");

    let usual = service.get_with("/ready", &[("accept", "application/json, */*")]).await;
    assert_eq!(usual.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn only_get_and_head_are_answered_and_no_answer_is_stored() {
    let service = mixed().await;
    let paths = ["/health", "/ready", "/startup", "/ready/database", "/metrics", "/status"];
    for path in paths {
        let head = service.ask("HEAD", path, &[]).await;
        assert_eq!(head.status, 200, "HEAD {path}");
        assert_eq!(head.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"), "{path}");
        let probe = !["/metrics", "/status"].contains(&path);
        let allow = if probe { "GET,HEAD,OPTIONS" } else { "GET,HEAD" };
        if probe {
            assert_eq!(service.ask("OPTIONS", path, &[]).await.status, 200, "OPTIONS {path}");
        } else {
            assert_eq!(service.ask("OPTIONS", path, &[]).await.status, 405, "OPTIONS {path}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let refused = service.ask(method, path, &[("content-length", "0")]).await;
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.header("allow"), Some(allow), "{method} {path}");
            assert_eq!(refused.header("content-type"), Some("application/problem+json"));
            assert_eq!(refused.header("cache-control"), Some("no-store"));
        }
    }
    let nothing = service.get("/no-such-path?secret=1").await;
    assert_eq!(nothing.status, 404);
    let problem: Value = serde_json::from_str(&nothing.body).expect("JSON");
    assert_eq!(problem["status"], 404);
    assert!(!nothing.body.contains("secret"));
}

#[tokio::test]
async fn the_status_document_is_whole() {
    let service = Service::start(
        r#"
        [service]
        name = "orders"
        version = "1.4.2"
        environment = "production"
        instance = "orders-1"
        [checks.orders-db]
        kind = "sqlite"
        path = "own.db"
        create = true
        description = "orders, primary"
        interval = "5s"
        timeout = "1500ms"
        objective = 99.9
        labels = { team = "payments" }
        depends_on = ["vpn"]
        [checks.vpn]
        kind = "sqlite"
        path = "own.db"
        create = true
        gates = []
        "#,
    )
    .await;
    service.ready_is(200, r#"{"status":"up","orders-db":"up"}"#).await;
    service.get_until("/status", |answer| answer.body.contains(r#"{"status":"up","live""#)).await;
    let status = service.status().await;
    let check = &status["checks"]["orders-db"];
    let keys =
        |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&status), ["checks", "live", "ready", "service", "since", "started", "status"]);
    assert_eq!(
        keys(&status["service"]),
        ["environment", "instance", "name", "started_at", "uptime_seconds", "version"]
    );
    assert_eq!(
        keys(check),
        [
            "availability",
            "consecutive_failures",
            "depends_on",
            "description",
            "error_budget_remaining",
            "gates",
            "interval_seconds",
            "kind",
            "labels",
            "last_run",
            "last_success_at",
            "maintenance",
            "measurements",
            "objective",
            "since",
            "status",
            "suppressed_by",
            "timeout_seconds",
        ]
    );
    assert_eq!(
        keys(&check["last_run"]),
        ["at", "duration_seconds", "message", "outcome", "phases", "reason", "trace_id"]
    );
    assert_eq!(check["interval_seconds"], 5);
    assert_eq!(check["timeout_seconds"], 1.5);
    assert_eq!(check["objective"], 0.999);
    assert_eq!(check["labels"], json!({"team": "payments"}));
    assert_eq!(check["depends_on"], json!(["vpn"]));
    let all = json!({"1h": 1.0, "24h": 1.0, "7d": 1.0, "30d": 1.0});
    assert_eq!(check["availability"], all);
    assert_eq!(check["error_budget_remaining"], 1.0);
    let trace_id = check["last_run"]["trace_id"].as_str().expect("a trace id");
    assert_eq!(trace_id.len(), 32);
    let at = check["last_run"]["at"].as_str().expect("a time");
    assert!(at.parse::<jiff::Timestamp>().is_ok() && at.ends_with('Z'), "{at}");
    let alone: Value =
        serde_json::from_str(&service.get("/status/orders-db").await.body).expect("JSON");
    assert_eq!(alone["description"], "orders, primary");
    assert_eq!(service.get("/status/nope").await.status, 404);
}
