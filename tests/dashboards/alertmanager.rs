//! Where alerts go, and which of them are kept quiet by another, as Alertmanager sees it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::{path, text};
use crate::support::daemon::{Daemon, free_port, server_dir, wait_for};
use crate::support::http::Client;
use crate::support::prometheus::installed;

const CONFIG: &str = "dashboards/alertmanager/alertmanager.yml";

/// Debian's name for the program, which elsewhere is plainly `alertmanager`.
const PROGRAM: &str = "prometheus-alertmanager";

fn amtool(arguments: &[&str]) -> Option<String> {
    let output = Command::new(installed("amtool")?).args(arguments).output().expect("amtool runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{complaint}");
    Some(said)
}

#[test]
fn alertmanager_accepts_its_configuration() {
    let config = path(CONFIG);
    let Some(said) = amtool(&["check-config", &config.to_string_lossy()]) else { return };
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn alerts_go_where_their_severity_says() {
    let config = format!("--config.file={}", path(CONFIG).display());
    for (labels, receiver) in [
        (["severity=critical", "alertname=HealthGatingCheckDown"], "page"),
        (["severity=warning", "alertname=HealthCheckDown"], "ticket"),
        (["severity=info", "alertname=HealthTracesDropped"], "log"),
        (["severity=none", "alertname=SomethingElse"], "ticket"),
    ] {
        let arguments = ["config", "routes", "test", &config, labels[0], labels[1]];
        let Some(said) = amtool(&arguments) else { return };
        assert_eq!(said.trim(), receiver, "{labels:?}");
    }
}

/// An Alertmanager with the stack's configuration.
struct Alertmanager {
    // Before the directory, so that the server is gone when that is removed.
    daemon: Daemon,
    _dir: tempfile::TempDir,
    port: u16,
}

impl Alertmanager {
    async fn start(program: PathBuf) -> Self {
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let (dir, port) = (server_dir(), free_port());
            let mut command = Command::new(&program);
            command
                .arg(format!("--config.file={}", path(CONFIG).display()))
                .arg(format!("--storage.path={}", dir.path().join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--cluster.listen-address=");
            let daemon = Daemon::start(command, &dir.path().join("log"));
            let mut server = Self { daemon, _dir: dir, port };
            let ready = async || !server.daemon.runs() || server.answers().await;
            wait_for("Alertmanager", ready).await;
            if server.daemon.runs() {
                return server;
            }
        }
        panic!("Alertmanager does not start")
    }

    async fn answers(&self) -> bool {
        tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
            && self.client().await.get("/-/ready").await.status == 200
    }

    async fn client(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port).into()).await
    }

    async fn post(&self, alerts: &Json) {
        let body = alerts.to_string();
        let mut client = self.client().await;
        let head = "POST /api/v2/alerts HTTP/1.1\r\nhost: test\r\ncontent-type: application/json";
        client.send(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        assert_eq!(client.answer().await.expect("an answer").status, 200);
    }

    /// Every alert as it stands, `alertname job instance check`, and whether it is inhibited.
    async fn alerts(&self) -> Vec<(String, bool)> {
        let answer = self.client().await.get("/api/v2/alerts").await;
        let alerts: Vec<Json> = serde_json::from_str(&answer.body).expect("alerts");
        let mut alerts: Vec<_> = alerts.iter().map(stands).collect();
        alerts.sort();
        alerts
    }
}

fn stands(alert: &Json) -> (String, bool) {
    let label = |name| text(alert, &format!("/labels/{name}"));
    let name = ["alertname", "job", "instance", "check"].map(label).join(" ");
    let inhibitors = alert["status"]["inhibitedBy"].as_array().expect("a list");
    (name, !inhibitors.is_empty())
}

#[tokio::test]
async fn a_cause_keeps_its_effects_quiet_and_nothing_else() {
    // Name, job, instance, check; and whether another of the list is its cause.
    const ALERTS: &[(&str, &str, &str, &str, bool)] = &[
        ("HealthGatingCheckDown", "one", "a", "db", false),
        ("HealthCheckFlapping", "one", "a", "db", true),
        ("HealthCheckSlow", "one", "a", "db", true),
        ("HealthErrorBudgetBurnFast", "one", "", "db", true),
        ("HealthErrorBudgetBurnSlow", "one", "", "db", true),
        ("HealthNotReady", "one", "a", "", true),
        ("HealthNotReady", "one", "b", "", false),
        ("HealthErrorBudgetBurnFast", "one", "", "cache", false),
        ("HealthErrorBudgetBurnSlow", "one", "", "cache", true),
        ("HealthCheckFlapping", "one", "a", "cache", false),
        ("HealthConfigReloadFailed", "one", "a", "", false),
        ("HealthDependencyDownEverywhere", "two", "", "db", false),
        ("HealthGatingCheckDown", "two", "a", "db", true),
        ("HealthGatingCheckDown", "two", "b", "db", true),
        ("HealthCheckDown", "two", "a", "cache", false),
        ("HealthErrorBudgetBurnFast", "two", "", "cache", true),
        ("HealthTargetDown", "three", "a", "", false),
        ("HealthCheckFlapping", "three", "a", "db", true),
        ("HealthConfigReloadFailed", "three", "a", "", true),
        ("HealthCheckFlapping", "three", "b", "db", false),
        ("HealthErrorBudgetBurnSlow", "three", "", "db", false),
        ("HealthTargetDown", "three", "c", "", false),
        ("HealthCertificateExpiresVerySoon", "four", "a", "web", false),
        ("HealthCertificateExpiresSoon", "four", "a", "web", true),
        ("HealthCertificateExpiresSoon", "four", "a", "api", false),
    ];
    let Some(program) = installed(PROGRAM) else { return };
    let server = Alertmanager::start(program).await;
    let alert = |(name, job, instance, check, _): &(&str, &str, &str, &str, bool)| {
        // An empty label is none.
        json!({ "labels": { "alertname": name, "job": job, "instance": instance, "check": check,
            "severity": "warning" } })
    };
    server.post(&Json::Array(ALERTS.iter().map(alert).collect())).await;
    let wanted = ALERTS.iter().map(|(name, job, instance, check, quiet)| {
        (format!("{name} {job} {instance} {check}"), *quiet)
    });
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort();
    // Which alert inhibits which is worked out a moment after it came in.
    let mut seen = Vec::new();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while seen != wanted && tokio::time::Instant::now() < deadline {
        seen = server.alerts().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, wanted);
}
