//! Many reloads while clients ask.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;
use tokio::time::Instant;

use crate::support::daemon::wait_for;
use crate::support::http::Client;
use crate::support::service::Service;

const RELOADS: usize = 100;
const CLIENTS: usize = 4;

/// One that stays, and one that is another each time.
fn config(round: usize) -> String {
    format!(
        r#"
        [defaults]
        interval = "100ms"
        [checks.stays]
        kind = "sqlite"
        path = "own.db"
        create = true
        [checks.round-{round}]
        kind = "sqlite"
        path = "own.db"
        create = true
        gates = []
        "#
    )
}

/// A sample of the page, by its whole series.
fn sample(page: &str, series: &str) -> f64 {
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {page}")).parse().expect("a number")
}

/// Deadlines of the check that stays: started or counted as skipped.
fn deadlines(page: &str) -> f64 {
    ["runs_total", "skipped_total"]
        .iter()
        .flat_map(|name| {
            let family = format!("health_check_{name}{{check=\"stays\"");
            page.lines().filter(move |line| line.starts_with(&family))
        })
        .map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number"))
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_lose_no_answer_and_no_run() {
    let service = Service::start(&config(0)).await;
    service.ready_is(200, r#"{"status":"up","stays":"up"}"#).await;
    let stopping = Arc::<AtomicBool>::default();
    let answers = Arc::<AtomicUsize>::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stopping, answers) = (Arc::clone(&stopping), Arc::clone(&answers));
            let address = service.address;
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                while !stopping.load(Ordering::Relaxed) {
                    let answer = client.get("/ready").await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    let (began, before) = (Instant::now(), service.get("/metrics").await.body);
    let since = service.status().await["checks"]["stays"]["since"].clone();
    for round in 1..=RELOADS {
        let path = service.dir.path().join("vitalsign.toml");
        fs::write(path.with_extension("new"), config(round)).expect("a file");
        fs::rename(path.with_extension("new"), path).expect("in its place");
        service.signal(Signal::HUP);
        let name = format!("/status/round-{round}");
        wait_for("the reload", async || service.get(&name).await.status == 200).await;
    }
    // A check is there a moment before its reload is counted.
    let reloads = |page: &str, outcome| {
        sample(page, &format!("health_config_reloads_total{{outcome=\"{outcome}\"}}"))
    };
    wait_for("the last reload to be counted", async || {
        reloads(&service.get("/metrics").await.body, "success") >= RELOADS as f64
    })
    .await;
    let (took, after) = (began.elapsed(), service.get("/metrics").await.body);
    stopping.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every answer was 200");
    }

    assert!(reloads(&after, "failure") < 1.0);
    assert!(answers.load(Ordering::Relaxed) >= RELOADS, "{answers:?} answers");
    assert_eq!(service.status().await["checks"]["stays"]["since"], since);
    // Half of them leaves a busy machine room; starting anew each time would leave next to none.
    let (due, seen) = (took.as_secs_f64() / 0.1, deadlines(&after) - deadlines(&before));
    assert!(seen >= due / 2.0 - 2.0 && seen <= due + 2.0, "{seen} of {due} in {took:?}");
    let series = |page: &str| page.lines().filter(|line| line.contains("check=\"round-")).count();
    assert!(series(&after) > 0 && series(&after) <= series(&before) + 2, "{after}");
}
