//! What the rules say on VictoriaMetrics, whose `increase` counts a first value from zero.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalsign::rules::{Job, Rule, Rules};

use crate::support::daemon::{Daemon, free_port, wait_for};
use crate::support::prometheus::installed;

/// A VictoriaMetrics of its own on a free loopback port.
struct Victoria {
    port: u16,
    _daemon: Daemon,
    _dir: tempfile::TempDir,
}

impl Victoria {
    async fn start() -> Option<Self> {
        let program = installed("victoria-metrics")?;
        let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let mut command = std::process::Command::new(program);
        command
            .arg(format!("-storageDataPath={}", dir.path().join("data").display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            // Samples of now are seen now.
            .args(["-search.latencyOffset=0s", "-search.disableCache"]);
        let daemon = Daemon::start(command, &dir.path().join("log"));
        let victoria = Self { port, _daemon: daemon, _dir: dir };
        wait_for("VictoriaMetrics", async || victoria.ask("GET", "/health", "").await.is_some())
            .await;
        Some(victoria)
    }

    /// The body of an answer; `None` while it does not listen.
    async fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.0 2") || head.starts_with("HTTP/1.1 2"), "{answer}");
        Some(body.to_owned())
    }

    /// Takes samples, each `name{labels} value milliseconds`.
    async fn import(&self, samples: &str) {
        self.ask("POST", "/api/v1/import/prometheus", samples).await.expect("it takes samples");
        self.ask("GET", "/internal/force_flush", "").await.expect("it shows them");
    }

    /// What an instant query yields at `now`, in milliseconds.
    async fn query(&self, expression: &str, now: i64) -> Vec<Value> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("query", expression)
            .append_pair("time", &format!("{}.{:03}", now / 1000, now % 1000))
            .finish();
        let answer = self.ask("GET", &format!("/api/v1/query?{query}"), "").await;
        let answer: Value = serde_json::from_str(&answer.expect("an answer")).expect("JSON");
        answer["data"]["result"].as_array().cloned().expect("series")
    }
}

/// What a service shows that ran for long: every counter of trouble has a small value.
fn long_running(grown: u64, good: u64, now: i64) -> String {
    let check = r#"job="vitalsign",instance="a:1",check="db",kind="tcp""#;
    let service = r#"job="vitalsign",instance="a:1""#;
    let bad = 7 + grown;
    [
        format!(r#"health_check_transitions_total{{{check},to="down"}} {bad}"#),
        format!(r#"health_check_transitions_total{{{check},to="up"}} {bad}"#),
        format!(r#"health_check_slo_runs_total{{{check},result="bad"}} {bad}"#),
        format!(r#"health_check_slo_runs_total{{{check},result="good"}} {good}"#),
        format!(r#"health_check_skipped_total{{{check},reason="overrun"}} {bad}"#),
        format!(r#"health_history_dropped_total{{{service},reason="queue_full"}} {bad}"#),
        format!(
            r#"otel_sdk_processor_span_processed_total{{{service},error_type="queue_full"}} {bad}"#
        ),
        format!(r#"otel_sdk_exporter_span_exported_total{{{service},error_type="timeout"}} {bad}"#),
        format!("health_check_objective_ratio{{{check}}} 0.999"),
        format!("health_check_suppressed{{{check}}} 0"),
        format!("health_check_maintenance{{{check}}} 0"),
        format!("up{{{service}}} 1"),
    ]
    .map(|sample| format!("{sample} {now}\n"))
    .concat()
}

/// The alerts and recorded runs that a query yields something for.
async fn speaking(victoria: &Victoria, now: i64) -> Vec<String> {
    let mut found = Vec::new();
    let rules = Rules::generic(&Job::default());
    for rule in rules.groups.iter().flat_map(|group| &group.rules) {
        let (name, expression) = match rule {
            Rule::Alert(alert) => (alert.alert.to_owned(), alert.expr.clone()),
            Rule::Recording(runs) if runs.record.contains("slo_runs:increase") => {
                (runs.record.clone(), format!("({}) > 0", runs.expr))
            }
            Rule::Recording(_) => continue,
        };
        let results = victoria.query(&expression, now).await;
        let good = |one: &Value| one["metric"]["result"] == "good";
        if !results.iter().all(good) {
            found.push(name);
        }
    }
    found
}

#[tokio::test]
async fn a_service_that_is_met_late_has_done_nothing_and_what_it_does_then_counts() {
    const SCRAPE: i64 = 15_000;
    let Some(victoria) = Victoria::start().await else { return };
    let now = jiff::Timestamp::now().as_millisecond();
    let scrapes = |ages: std::ops::Range<i64>, grown: u64| {
        let one = move |age: i64| {
            let good = u64::try_from(100_000 - age).expect("above zero");
            long_running(grown, good, now - age * SCRAPE)
        };
        ages.rev().map(one).collect::<String>()
    };
    // It is met ten minutes ago.
    victoria.import(&scrapes(4..40, 0)).await;
    assert_eq!(speaking(&victoria, now - 4 * SCRAPE).await, [""; 0], "a service that is met late");
    victoria.import(&scrapes(0..4, 6)).await;
    let found = speaking(&victoria, now).await;
    for alert in [
        "HealthHistoryDropping",
        "HealthTracesDropped",
        "HealthCheckFlapping",
        "HealthCheckSkipped",
        "job_check:health_check_slo_runs:increase5m",
        "job_check:health_check_slo_runs:increase3d",
    ] {
        assert!(found.iter().any(|name| name == alert), "{alert} is not among {found:?}");
    }
}

/// The query within the text of an alert, for the check `db` of the instance `a:1`.
fn reason_query(alert: &str) -> String {
    let rules = Rules::generic(&Job::default());
    let alert = rules.alerts().find(|rule| rule.alert == alert).expect("it is one of them");
    let text = &alert.annotations["description"];
    let (_, query) = text.split_once("query (printf `").expect("a query");
    let (query, labels) = query.split_once('`').expect("its end");
    let labels = labels.split_once(')').expect("its end").0.split_whitespace();
    labels.fold(query.to_owned(), |query, label| {
        let value = match label {
            "$labels.check" => "\"db\"",
            "$labels.instance" => "\"a:1\"",
            other => panic!("{other}"),
        };
        query.replacen("%q", value, 1)
    })
}

#[tokio::test]
async fn the_reason_of_a_failing_check_is_found() {
    let Some(victoria) = Victoria::start().await else { return };
    let now = jiff::Timestamp::now().as_millisecond();
    let series = |instance: &str, reason: &str, value: u64, at: i64| {
        format!(
            "health_check_failures_total{{job=\"vitalsign\",instance=\"{instance}\",check=\"db\",\
             kind=\"tcp\",reason=\"{reason}\"}} {value} {at}\n"
        )
    };
    let mut samples = String::new();
    for scrape in 0..80_u64 {
        let at = now - 15_000 * i64::try_from(79 - scrape).expect("few");
        // Often, but half an hour ago and before; then a reason that is born with its first failure.
        samples += &series("a:1", "timeout", 500, at);
        if scrape >= 70 {
            samples += &series("a:1", "connection_refused", scrape - 69, at);
        }
        samples += &series("b:1", "dns_failed", 3 * scrape, at);
    }
    victoria.import(&samples).await;
    for (alert, wanted) in [
        ("HealthGatingCheckDown", "connection_refused"),
        ("HealthCheckDown", "connection_refused"),
        ("HealthCheckFlapping", "connection_refused"),
        ("HealthDependencyDownEverywhere", "dns_failed"),
        ("HealthErrorBudgetBurnFast", "dns_failed"),
        ("HealthErrorBudgetBurnSlow", "dns_failed"),
    ] {
        let found = victoria.query(&reason_query(alert), now).await;
        let [one] = found.as_slice() else { panic!("{alert}: {found:?}") };
        assert_eq!(one["metric"]["reason"], wanted, "{alert}");
    }
}
