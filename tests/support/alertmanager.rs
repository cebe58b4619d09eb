//! Debian's Alertmanager, of a test's own, with a webhook that hears of every notification.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::daemon::{Daemon, PATIENCE, free_port};
use super::http::Client;
use super::peer::{Peer, http_answer};
use super::prometheus::installed;

/// An Alertmanager on a loopback port; it is killed when dropped.
pub(crate) struct Alertmanager {
    // Before the directory, so that the server is gone when that is removed.
    _daemon: Daemon,
    dir: TempDir,
    address: SocketAddr,
    webhook: Peer,
}

impl Alertmanager {
    /// Starts one that notifies at once; `None`, with a notice, where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(at_once).await
    }

    /// Starts one with the configuration that `config` makes for a webhook of this address.
    pub(crate) async fn start_with(config: impl Fn(SocketAddr) -> String) -> Option<Self> {
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            if let Some(started) = Self::start_as(free_port(), &config).await? {
                return Some(started);
            }
        }
        panic!("Alertmanager does not start");
    }

    /// Starts one that notifies at once, on this port; `Some(None)` when it did not come up there.
    pub(crate) async fn start_on(port: u16) -> Option<Option<Self>> {
        Self::start_as(port, &at_once).await
    }

    async fn start_as(port: u16, config: &impl Fn(SocketAddr) -> String) -> Option<Option<Self>> {
        let program = installed("prometheus-alertmanager")?;
        let dir = tempfile::tempdir().expect("a directory");
        let webhook = Peer::http(|_| http_answer("200 OK", "", "")).await;
        let file = dir.path().join("alertmanager.yml");
        std::fs::write(&file, config(webhook.address)).expect("the configuration");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(program);
        command.env_clear().current_dir(dir.path());
        command.arg("--config.file").arg(file).arg("--storage.path").arg(dir.path().join("data"));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        let mut daemon = Daemon::start(command, &dir.path().join("log"));
        let deadline = Instant::now() + PATIENCE;
        let mut ready = false;
        while !ready && daemon.runs() {
            assert!(Instant::now() < deadline, "Alertmanager does not get ready");
            ready = tokio::net::TcpStream::connect(address).await.is_ok()
                && Client::connect(address).await.get("/-/ready").await.status == 200;
            sleep(std::time::Duration::from_millis(10)).await;
        }
        Some(ready.then_some(Self { _daemon: daemon, dir, address, webhook }))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The alerts that it holds for active, sorted by their checks.
    pub(crate) async fn alerts(&self) -> Vec<Value> {
        let answer = Client::connect(self.address).await.get("/api/v2/alerts").await;
        let mut alerts: Vec<Value> = serde_json::from_str(&answer.body).expect("JSON");
        alerts.sort_by_key(|alert| alert["labels"]["check"].to_string());
        alerts
    }

    /// Waits until the names of the checks with an active alert are these, sorted, and returns
    /// the alerts.
    pub(crate) async fn alerts_are(&self, checks: &[&str]) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let alerts = self.alerts().await;
            if alerts.iter().map(|a| &a["labels"]["check"]).eq(checks) {
                return alerts;
            }
            assert!(Instant::now() < deadline, "{alerts:?} is not {checks:?}\n{}", self.log());
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The alerts that the webhook was told of so far, each with the receiver that it went to.
    pub(crate) fn told(&self) -> Vec<(String, Value)> {
        let mut told = Vec::new();
        for request in self.webhook.requests() {
            let (_, body) = request.split_once("\r\n\r\n").expect("a body");
            let mut body: Value = serde_json::from_str(body).expect("JSON");
            let receiver = body["receiver"].as_str().expect("a receiver").to_owned();
            let alerts = body["alerts"].as_array_mut().expect("alerts");
            told.extend(alerts.drain(..).map(|alert| (receiver.clone(), alert)));
        }
        told
    }

    /// What the webhook was told so far, as `firing NAME of CHECK`.
    pub(crate) fn notifications(&self) -> Vec<String> {
        self.told().iter().map(|(_, alert)| brief(alert)).collect()
    }

    /// Waits until the webhook was told as much, and nothing else before.
    pub(crate) async fn has_notified(&self, told: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while self.notifications() != told {
            let so_far = self.notifications();
            assert!(Instant::now() < deadline, "{so_far:?} is not {told:?}\n{}", self.log());
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// A configuration that tells of each alert by itself and without delay.
fn at_once(webhook: SocketAddr) -> String {
    format!(
        "route:\n  receiver: hook\n  group_by: ['...']\n  group_wait: 0s\n  \
         group_interval: 100ms\n  repeat_interval: 1h\n\
         receivers:\n- name: hook\n  webhook_configs:\n  \
         - url: http://{webhook}/\n    send_resolved: true\n"
    )
}

/// An alert as `firing NAME of CHECK`.
fn brief(alert: &Value) -> String {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (status, labels) = (text(&alert["status"]), &alert["labels"]);
    let (name, check) = (text(&labels["alertname"]), text(&labels["check"]));
    format!("{status} {name} of {check}")
}
