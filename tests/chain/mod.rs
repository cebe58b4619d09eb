//! From a database that stops to the message that somebody gets, and to the trace that tells why:
//! the service among real servers, with the files that it ships.

mod backend;
mod shipped;

use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::support::alertmanager::Alertmanager;
use crate::support::daemon::{PATIENCE, free_port, wait_for};
use crate::support::postgres::Postgres;
use crate::support::prometheus::Prometheus;
use crate::support::service::{Service, seen_locally};

use backend::Backend;

const GATE: &str = "HealthGatingCheckDown";
const INFORMATIVE: &str = "HealthCheckDown";

/// The service, what it watches, and what watches it.
struct Stack {
    postgres: Postgres,
    backend: Backend,
    service: Service,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Stack {
    /// All of it; `None`, with a notice, where one of the servers is not installed.
    async fn start() -> Option<Self> {
        let (postgres, backend) = (Postgres::start().await?, Backend::start().await?);
        let alertmanager = Alertmanager::start_with(shipped::alertmanager).await?;
        let config = format!(
            "[telemetry]\ntraces_endpoint = \"http://{}\"\n{}",
            backend.spans,
            // Long enough for the first failed run to be looked at before the next.
            database(&postgres, "orders-db", "interval = \"5s\"")
        );
        let service = Service::start_with(&config, |command| {
            command.env("OTEL_BSP_SCHEDULE_DELAY", "100");
        })
        .await;
        let files = [shipped::RECORDING, shipped::ALERTS].map(|file| {
            let (_, name) = file.rsplit_once('/').expect("a folder");
            (name, shipped::fast(file))
        });
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        let config = shipped::prometheus(service.address, alertmanager.address());
        let prometheus = Prometheus::start_with(&config, &files).await?;
        Some(Self { postgres, backend, service, prometheus, alertmanager })
    }

    /// Replaces the checks and windows, and waits until those are in force.
    async fn reconfigure(&self, checks: &str) {
        let file = self.service.dir.path().join("vitalsign.toml");
        let text = std::fs::read_to_string(&file).expect("the configuration");
        let (head, _) = text.split_once("[checks.").expect("a check");
        let reloaded = || {
            let lines = self.service.log_lines().into_iter();
            lines.filter(|line| line["message"] == "configuration reloaded").count()
        };
        let before = reloaded();
        let text = seen_locally(&format!("{head}{checks}"));
        std::fs::write(&file, text).expect("the configuration");
        self.service.signal(rustix::process::Signal::HUP);
        wait_for("the reload", async || reloaded() > before).await;
    }

    /// Waits until `/status` has this status of a check, and returns what it has of it.
    async fn status_is(&self, check: &str, status: &str) -> Value {
        let wanted = format!(r#""status":"{status}""#);
        let path = format!("/status/{check}");
        let answer = self.service.get_until(&path, |answer| answer.body.contains(&wanted)).await;
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Waits until as many series of Prometheus have a value.
    async fn sees(&self, count: usize, expression: &str) {
        self.prometheus.query_until(expression, |found| found.len() == count).await;
    }

    /// The last that the webhook was told of an alert of a check.
    fn last_told(&self, name: &str, check: &str) -> Option<(String, Value)> {
        let told = self.alertmanager.told().into_iter().rev();
        let mut of = told.filter(|(_, alert)| {
            let labels = &alert["labels"];
            labels["alertname"] == name && labels["check"] == check
        });
        of.next()
    }

    /// Waits until that is `status`, and returns the receiver and the alert.
    async fn told(&self, status: &str, name: &str, check: &str) -> (String, Value) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let last = self.last_told(name, check);
            if let Some(last) = last.filter(|(_, alert)| alert["status"] == status) {
                return last;
            }
            let late = tokio::time::Instant::now() > deadline;
            assert!(!late, "{name} of {check} is not {status}: {}", self.trouble().await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Where an alert got stuck.
    async fn trouble(&self) -> String {
        let mut text = String::new();
        let alerts = self.prometheus.query("ALERTS").await;
        let active = self.alertmanager.alerts().await;
        let told = self.alertmanager.told();
        let _ = writeln!(text, "Prometheus: {alerts:?}\nAlertmanager: {active:?}\ntold: {told:?}");
        text + &self.alertmanager.log() + &self.service.log()
    }

    /// Whether Prometheus ever had, or the webhook was ever told of, any alert of these checks.
    async fn heard_of(&self, checks: [&str; 2]) -> Vec<Value> {
        let names = checks.join("|");
        // Longer than any test takes.
        let ever = format!("count_over_time(ALERTS{{check=~\"{names}\"}}[1h])");
        let mut heard = self.prometheus.query(&ever).await;
        let told = self.alertmanager.told().into_iter().map(|(_, alert)| alert);
        heard.extend(told.filter(|alert| checks.iter().any(|c| alert["labels"]["check"] == *c)));
        heard
    }
}

/// A check of this Postgres that is down after one failed run.
fn database(postgres: &Postgres, name: &str, more: &str) -> String {
    let url = postgres.url();
    format!(
        "[checks.{name}]\nkind = \"postgres\"\nurl = \"{url}\"\nfailure_threshold = 1\n{more}\n"
    )
}

/// An informative check of this port that is down after one failed run.
fn port(name: &str, port: u16) -> String {
    format!(
        "[checks.{name}]\nkind = \"tcp\"\naddress = \"127.0.0.1:{port}\"\ninterval = \"500ms\"\n\
         gates = []\nfailure_threshold = 1\n"
    )
}

fn listen(port: u16) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Connections of the listener before may linger.
    socket.set_reuseaddr(true).expect("it is set");
    socket.bind(([127, 0, 0, 1], port).into()).expect("the port");
    socket.listen(64).expect("a listener")
}

/// A window over one check that has been open for an hour, for an hour to come.
fn window(check: &str) -> String {
    let now = std::time::SystemTime::now();
    let hour = std::time::Duration::from_hours(1);
    let [from, until] = [now - hour, now + hour].map(humantime::format_rfc3339_seconds);
    format!("[[maintenance]]\nchecks = [\"{check}\"]\nfrom = \"{from}\"\nuntil = \"{until}\"\n")
}

#[tokio::test]
async fn an_outage_is_told_explained_and_ended_and_one_that_is_excused_is_not_told() {
    let Some(mut stack) = Stack::start().await else { return };
    stack.service.ready_is(200, r#"{"status":"up","orders-db":"up"}"#).await;
    stack.sees(1, r#"health_check_up{check="orders-db"} == 1"#).await;
    told_explained_and_ended(&mut stack).await;
    excused(&mut stack).await;
}

async fn told_explained_and_ended(stack: &mut Stack) {
    stack.postgres.stop().await;
    let status = stack.status_is("orders-db", "down").await;
    let run = &status["last_run"];
    same_run_everywhere(stack, run).await;

    let (receiver, alert) = stack.told("firing", GATE, "orders-db").await;
    let (labels, annotations) = (&alert["labels"], &alert["annotations"]);
    assert_eq!((receiver.as_str(), &labels["severity"]), ("page", &json!("critical")));
    let instance = stack.service.address.to_string();
    assert_eq!((&labels["job"], &labels["instance"]), (&json!("vitalsign"), &json!(instance)));
    let summary = format!("orders-db is down and takes {instance} out of service");
    assert_eq!(annotations["summary"], summary);
    let runbook = annotations["runbook_url"].as_str().expect("a URL");
    assert!(runbook.ends_with("/docs/runbooks/HealthGatingCheckDown.md"), "{runbook}");

    stack.postgres.restart().await;
    let (receiver, alert) = stack.told("resolved", GATE, "orders-db").await;
    assert_eq!((receiver.as_str(), &alert["labels"]), ("page", labels));
    stack.service.ready_is(200, r#"{"status":"up","orders-db":"up"}"#).await;
}

/// The trace of this run is in the backend, under the id that the log, the incident and
/// Prometheus have of it.
async fn same_run_everywhere(stack: &Stack, run: &Value) {
    let trace_id = run["trace_id"].as_str().expect("a trace id");
    let lines = stack.service.log_lines();
    let line =
        lines.iter().find(|line| line["message"] == "status changed" && line["to"] == "down");
    let line = line.expect("a line of the change");
    assert_eq!((&line["check"], &line["trace_id"]), (&json!("orders-db"), &json!(trace_id)));
    assert_eq!(line["reason"], run["reason"]);

    wait_for("the incident", async || {
        let incidents = stack.service.get("/status/incidents").await.body;
        incidents.contains(&format!(r#""trace_id":"{trace_id}""#))
    })
    .await;

    let spans = stack.backend.trace(trace_id).await;
    let root = spans.iter().find(|span| span.parent().is_none()).expect("the run's span");
    let client = spans.iter().find(|span| span.parent() == Some(root.id()));
    let client = client.expect("the client's span");
    assert_eq!((root.name(), root.trace_id()), (&json!("health.check postgres"), &json!(trace_id)));
    assert_eq!(root.tag("health.check.name"), Some(&json!("orders-db")));
    assert_eq!(root.tag("error.type"), Some(&run["reason"]));
    assert_eq!(client.tag("db.system.name"), Some(&json!("postgresql")));

    let series = r#"health_check_duration_seconds_bucket{job="vitalsign",check="orders-db"}"#;
    let exemplar = json!({ "trace_id": trace_id, "span_id": root.id() });
    wait_for("the exemplar in Prometheus", async || {
        let found = stack.prometheus.exemplars(series).await;
        let all = found.iter().filter_map(|series| series["exemplars"].as_array()).flatten();
        all.into_iter().any(|one| one["labels"] == exemplar)
    })
    .await;
}

/// The same outage while one check of the database is in maintenance and another is behind a link
/// that is down: nobody hears of these until their excuse is gone.
async fn excused(stack: &mut Stack) {
    const EXCUSED: [&str; 2] = ["reports-db", "billing-db"];
    let (link_port, cache_port) = (free_port(), free_port());
    let (link, cache) = (listen(link_port), listen(cache_port));
    let often = "interval = \"1s\"";
    let checks = [
        database(&stack.postgres, "orders-db", often),
        database(&stack.postgres, EXCUSED[0], often),
        database(&stack.postgres, EXCUSED[1], &format!("{often}\ndepends_on = [\"link\"]")),
        port("link", link_port),
        port("cache", cache_port),
    ]
    .concat();
    stack.reconfigure(&format!("{checks}{}", window(EXCUSED[0]))).await;
    stack.sees(5, "health_check_up == 1").await;

    drop(link);
    stack.sees(1, r#"health_check_suppressed{check="billing-db"} == 1"#).await;
    stack.sees(1, r#"health_check_maintenance{check="reports-db"} == 1"#).await;
    stack.postgres.stop().await;
    stack.sees(2, r#"health_check_up{check=~"reports-db|billing-db"} == 0"#).await;
    // What goes down now is told after a longer wait than what gates readiness: once it is told,
    // theirs would have been.
    drop(cache);
    stack.told("firing", GATE, "orders-db").await;
    let (receiver, _) = stack.told("firing", INFORMATIVE, "cache").await;
    assert_eq!(receiver, "ticket");
    let _cache = listen(cache_port);
    stack.told("resolved", INFORMATIVE, "cache").await;
    assert_eq!(stack.heard_of(EXCUSED).await, [Value::Null; 0]);
    for check in EXCUSED {
        stack.status_is(check, "down").await;
    }

    let _link = listen(link_port);
    stack.told("firing", GATE, "billing-db").await;
    stack.reconfigure(&checks).await;
    stack.told("firing", GATE, "reports-db").await;
    assert!(!stack.heard_of(EXCUSED).await.is_empty(), "it does hear");

    stack.postgres.restart().await;
    for check in ["orders-db", "reports-db", "billing-db"] {
        stack.told("resolved", GATE, check).await;
    }
}
