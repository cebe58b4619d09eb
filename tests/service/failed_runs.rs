//! Failed runs that change no status: what the history, the page and the log say of them.

use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::daemon::wait_for;
use crate::support::http::Answer;
use crate::support::service::Service;

/// A check that fails for ever without being down.
fn config(address: &str) -> String {
    format!(
        r#"
        [server]
        details = "token"
        token = "s3cr3t"
        [checks.cache]
        kind = "tcp"
        address = "{address}"
        interval = "50ms"
        timeout = "40ms"
        failure_threshold = 1000000
        "#
    )
}

const TOKEN: (&str, &str) = ("authorization", "Bearer s3cr3t");

/// A service with a check that was up and fails since, some times at least.
async fn failing() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let service = Service::start(&config(&address)).await;
    let up = |answer: &Answer| answer.body.contains("\"cache\":\"up\"");
    service.get_until("/ready", up).await;
    drop(listener);
    let failed = async || {
        let metrics = service.get("/metrics").await.body;
        let line = metrics.lines().find(|line| line.contains("reason=\"connection_refused\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()) >= Some(3)
    };
    wait_for("three failed runs", failed).await;
    service
}

#[tokio::test]
async fn the_history_counts_them_by_reason_for_those_with_the_right() {
    let service = failing().await;
    for path in ["/status/cache/history", "/status/cache/history?step=1m"] {
        let answer = service.ask("GET", path, &[TOKEN]).await;
        let past: Value = serde_json::from_str(&answer.body).expect("JSON");
        let all = past["reasons"]["connection_refused"].as_u64().expect("a count");
        let steps = past["steps"].as_array().expect("steps");
        let of = |step: &Value| step["reasons"]["connection_refused"].as_u64().unwrap_or(0);
        assert!(all >= 3, "{path}: {past}");
        assert_eq!(steps.iter().map(of).sum::<u64>(), all, "{path}");
        let bad = |step: &Value| step["runs"].as_u64() > step["good"].as_u64();
        assert_eq!(steps.iter().any(bad), steps.iter().any(|step| of(step) > 0));
        assert_eq!(steps[0]["reasons"], serde_json::json!({}), "nothing failed then");

        let stranger = service.get(path).await;
        assert_eq!(stranger.status, 200);
        assert!(!stranger.body.contains("reason"), "{}", stranger.body);
    }
    let ready = service.get("/ready").await;
    assert_eq!(ready.status, 200, "they are below the threshold: {}", ready.body);
}

#[tokio::test]
async fn the_page_of_the_check_lists_them_for_those_with_the_right() {
    let service = failing().await;
    for range in ["1h", "24h", "7d", "30d"] {
        let path = format!("/checks/cache?range={range}");
        let page = service.ask("GET", &path, &[TOKEN]).await.body;
        assert!(page.contains("Failed runs"), "{page}");
        assert!(page.contains("<code>connection_refused</code></th><td>"), "{page}");
        let stranger = service.get(&path).await.body;
        assert!(!stranger.contains("connection_refused"), "{stranger}");
        assert!(!stranger.contains("Failed runs"), "{stranger}");
    }
}

#[tokio::test]
async fn the_log_has_one_line_for_a_reason() {
    let service = failing().await;
    let lines = service.log_lines();
    let said: Vec<&Value> =
        lines.iter().filter(|line| line["message"] == "a run failed; the status stays").collect();
    let [line] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "vitalsign::check");
    assert_eq!((&line["check"], &line["reason"]), (&"cache".into(), &"connection_refused".into()));
    assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("refused")), "{line}");
    assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
    assert_eq!((&line["status"], &line["failed_in_a_row"]), (&"up".into(), &1.into()));
}

#[tokio::test]
async fn a_kill_loses_no_more_reasons_than_runs() {
    let service = failing().await;
    let count = async |service: &Service| {
        let answer = service.ask("GET", "/status/cache/history", &[TOKEN]).await;
        let past: Value = serde_json::from_str(&answer.body).expect("JSON");
        let sum = |key: &str| {
            let steps = past["steps"].as_array().expect("steps").iter();
            steps.filter_map(|step| step[key].as_u64()).sum::<u64>()
        };
        let reasons = past["reasons"]["connection_refused"].as_u64().unwrap_or(0);
        (reasons, sum("runs") - sum("good"))
    };
    // Runs are written every ten seconds.
    wait_for("a write", async || {
        let metrics = service.get("/metrics").await.body;
        let written = "health_history_writes_total{outcome=\"success\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(written));
        line.is_some_and(|count| count != "0") && count(&service).await.0 > 0
    })
    .await;
    let service = Service::start_in(service.killed().await, |_| {}).await;
    let (reasons, failed) = count(&service).await;
    assert_eq!(reasons, failed);
}
