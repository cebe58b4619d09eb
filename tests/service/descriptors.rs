//! The service with no descriptor left.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::daemon::wait_for;
use crate::support::peer::{Peer, Script};
use crate::support::service::{Service, limited};

/// Descriptors that the process may open.
const LIMIT: usize = 64;

/// Checks that ask at once: the server keeps no more than a descriptor or two free for them.
const CHECKS: usize = 24;

/// Answers after a while, so that runs hold their connections beside each other.
fn thoughtful() -> Script {
    Arc::new(|mut wire| {
        Box::pin(async move {
            sleep(Duration::from_millis(500)).await;
            wire.write_all(b"yes\n").await.ok()?;
            Some(wire)
        })
    })
}

#[tokio::test]
async fn without_descriptors_runs_are_unknown_probes_answer_and_nothing_is_down() {
    let healthy = Peer::start(thoughtful()).await;
    let mut config = "[server]\nheader_timeout = \"1h\"\ndrain_delay = \"1ms\"\n\
         [defaults]\ninterval = \"3s\"\ntimeout = \"2900ms\"\nfailure_threshold = 1\n"
        .to_owned();
    for i in 0..CHECKS {
        let address = healthy.address;
        let _ = write!(
            config,
            "[checks.api-{i}]\nkind = \"tcp\"\naddress = \"{address}\"\nexpect.regex = \"yes\"\n"
        );
    }
    let service =
        Service::start_with(&config, |command| limited(command, &format!("-n {LIMIT}"))).await;
    service.get_until("/ready", |answer| answer.status == 200).await;
    let last_runs = async || {
        let checks = service.status().await["checks"].clone();
        let checks = checks.as_object().expect("an object").values().cloned();
        checks.map(|check| check["last_run"].clone()).collect::<Vec<_>>()
    };

    // More clients than there is room for, each idle for as long as it is let. An answer frees a
    // descriptor again, so that a few more come before each.
    let mut idle = Vec::new();
    let mut more = 2 * LIMIT;
    wait_for("a run without a descriptor", async || {
        for _ in 0..std::mem::replace(&mut more, 5) {
            idle.push(TcpStream::connect(service.address).await.expect("the server listens"));
        }
        let mut runs = last_runs().await.into_iter();
        runs.any(|run| run["outcome"] == "unknown" && run["reason"] == "local_resource")
    })
    .await;
    let health = service.get("/health").await;
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"up"}"#));
    assert_eq!(service.get("/ready").await.status, 200);

    drop(idle);
    let succeeded = |run: &Value| run["outcome"] == "success";
    wait_for("all to be asked again", async || last_runs().await.iter().all(succeeded)).await;
    assert_eq!(service.get("/ready").await.status, 200);
    let page = service.get("/metrics").await.body;
    let none = |series: &str, label: &str| {
        let mut lines = page.lines().filter(|l| l.starts_with(series) && l.contains(label));
        assert!(lines.all(|l| l.ends_with(" 0")), "{series} {label}: {page}");
    };
    none("health_check_transitions_total{", "to=\"down\"");
    none("health_check_runs_total{", "outcome=\"failure\"");
    assert!(!page.contains("health_check_failures_total{"), "{page}");
    let (status, log) = service.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panic"), "{log}");
}
