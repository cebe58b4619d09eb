//! Maintenance windows of the service: what they excuse, and when they end.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::reload::{OWN, RELOADED, put, tcp};
use crate::support::daemon::{free_port, wait_for};
use crate::support::service::{Service, command, run, seen_locally};

const HOUR: Duration = Duration::from_hours(1);
const BEGINS: &str = "maintenance begins";
const ENDS: &str = "maintenance ends";

/// A check of a port where nobody listens, down from its first run on.
fn down(name: &str) -> String {
    tcp(name, free_port(), "failure_threshold = 1")
}

/// A single window.
fn window(from: SystemTime, until: SystemTime, more: &str) -> String {
    let text = |at| Timestamp::try_from(at).expect("a moment");
    format!("[[maintenance]]\nfrom = \"{}\"\nuntil = \"{}\"\n{more}\n", text(from), text(until))
}

/// A window that is open now and for an hour to come.
fn open(more: &str) -> String {
    let now = SystemTime::now();
    window(now - HOUR, now + HOUR, more)
}

/// Replaces the configuration, and waits until it is in force.
async fn reconfigure(service: &Service, text: &str) {
    let before = service.said(RELOADED).len();
    put(&service.file("vitalsign.toml"), &seen_locally(text));
    service.signal(Signal::HUP);
    service.says(RELOADED, before + 1).await;
}

/// The value of a series of the check `cache`.
async fn sample(service: &Service, name: &str, more: &str) -> u64 {
    let page = service.get("/metrics").await.body;
    let start = format!("{name}{{check=\"cache\",kind=\"tcp\"{more}}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("no {start} in {page}")).parse().expect("a whole number")
}

/// Waits until `cache` has failed at least once.
async fn failed(service: &Service) {
    let outcome = ",outcome=\"failure\"";
    wait_for("a failed run", async || {
        sample(service, "health_check_runs_total", outcome).await > 0
    })
    .await;
}

#[tokio::test]
async fn a_check_in_maintenance_is_down_and_takes_nothing_with_it() {
    let cache = down("cache");
    let window = open("checks = [\"cache\"]");
    let service = Service::start(&format!("{OWN}{cache}{window}")).await;
    failed(&service).await;
    service.ready_is(200, r#"{"status":"degraded","cache":"down","own":"up"}"#).await;
    let startup = service.get("/startup").await;
    assert_eq!((startup.status, &*startup.body), (200, r#"{"status":"up"}"#));

    let alone = service.get("/ready/cache").await;
    assert_eq!((alone.status, &*alone.body), (503, r#"{"status":"down"}"#));
    let alone = service.get("/ready/cache?verbose").await.body;
    assert_eq!(alone, "[-]cache failed: connection_refused\ncache check failed\n");
    let verbose = service.get("/ready?verbose").await.body;
    let line = "[~]cache degraded: in maintenance, failed: connection_refused";
    assert_eq!(verbose, format!("{line}\n[+]own ok\nready check passed\n"));
    let forwarded = [("x-forwarded-for", "192.0.2.1")];
    let withheld = service.get_with("/ready?verbose", &forwarded).await.body;
    let line = "[~]cache degraded: in maintenance, failed: reason withheld";
    assert!(withheld.starts_with(line), "{withheld}");

    let asks = [("accept", "application/health+json")];
    let answer = service.get_with("/ready", &asks).await;
    let document: Value = serde_json::from_str(&answer.body).expect("JSON");
    let check = &document["checks"]["cache:responseTime"][0];
    assert_eq!((&document["status"], &check["status"]), (&json!("warn"), &json!("warn")));
    let output = check["output"].as_str().expect("why");
    assert!(output.starts_with("in maintenance: connection_refused: "), "{output}");
    let withheld = service.get_with("/ready", &[asks[0], forwarded[0]]).await.body;
    assert!(withheld.contains(r#""output":"in maintenance"}"#), "{withheld}");
    let alone = service.get_with("/ready/cache", &asks).await.body;
    assert!(alone.starts_with(r#"{"status":"fail""#), "{alone}");

    let status = service.status().await;
    assert_eq!((&status["status"], &status["ready"]), (&json!("degraded"), &json!(true)));
    let [cache, own] = ["cache", "own"].map(|name| &status["checks"][name]);
    assert_eq!((&cache["status"], &cache["maintenance"]), (&json!("down"), &json!(true)));
    assert_eq!(own["maintenance"], json!(false));

    assert_eq!(sample(&service, "health_check_maintenance", "").await, 1);
    assert_eq!(sample(&service, "health_check_up", "").await, 0);
    let slo = ["good", "bad"].map(|result| format!(",result=\"{result}\""));
    for result in &slo {
        assert_eq!(sample(&service, "health_check_slo_runs_total", result).await, 0, "{result}");
    }
    let begins = service.said(BEGINS);
    assert_eq!((begins.len(), &begins[0]["checks"]), (1, &json!("cache")), "{begins:?}");
    assert!(begins[0]["until"].as_str().is_some_and(|until| until.ends_with('Z')), "{begins:?}");
}

#[tokio::test]
async fn a_reload_that_ends_a_window_counts_at_once_and_so_does_one_that_brings_it_back() {
    let (cache, other) = (down("cache"), down("other") + "gates = []\n");
    let window = open("checks = [\"cache\"]");
    let kept = open("checks = [\"other\"]");
    let checks = format!("{cache}{other}");
    let service = Service::start(&format!("{checks}{kept}{window}")).await;
    failed(&service).await;
    service.ready_is(200, r#"{"status":"degraded","cache":"down"}"#).await;
    let since = service.status().await["checks"]["cache"]["since"].clone();

    reconfigure(&service, &format!("{checks}{kept}")).await;
    let ready = service.get("/ready").await;
    assert_eq!((ready.status, &*ready.body), (503, r#"{"status":"down","cache":"down"}"#));
    assert_eq!(sample(&service, "health_check_maintenance", "").await, 0);
    wait_for("a bad run that counts", async || {
        sample(&service, "health_check_slo_runs_total", ",result=\"bad\"").await > 0
    })
    .await;

    reconfigure(&service, &format!("{checks}{window}{kept}")).await;
    assert_eq!(service.get("/ready").await.status, 200);
    let cache = service.status().await["checks"]["cache"].clone();
    assert_eq!((&cache["since"], &cache["maintenance"]), (&since, &json!(true)));
    let checks = |message: &str| {
        let lines = service.said(message);
        lines.iter().map(|line| line["checks"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(checks(ENDS), ["cache"], "the other window goes on");
    assert_eq!(checks(BEGINS), ["other", "cache", "cache"]);
}

#[tokio::test]
async fn a_single_window_begins_and_ends_by_itself() {
    let cache = down("cache");
    let in_seconds = |seconds| SystemTime::now() + Duration::from_secs(seconds);
    let from = in_seconds(2);
    let service = Service::start(&format!("{cache}{}", window(from, from + HOUR, ""))).await;
    failed(&service).await;
    service.ready_is(200, r#"{"status":"degraded","cache":"down"}"#).await;
    assert!(SystemTime::now() >= from);
    assert_eq!(service.says(BEGINS, 1).await["checks"], "all");

    let until = in_seconds(2);
    reconfigure(&service, &format!("{cache}{}", window(from - HOUR, until, ""))).await;
    service.ready_is(503, r#"{"status":"down","cache":"down"}"#).await;
    assert!(SystemTime::now() >= until);
    assert_eq!(service.says(ENDS, 1).await["checks"], "all");
}

#[tokio::test]
async fn a_recurring_window_without_names_is_for_checks_that_a_reload_brings_too() {
    let window = |start: jiff::civil::Time| {
        format!("[[maintenance]]\nstart = \"{start:.0}\"\nduration = \"3h\"\ntimezone = \"UTC\"\n")
    };
    let an_hour_ago = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).time() - HOUR;
    let window = window(an_hour_ago);
    let service = Service::start(&format!("{OWN}{window}")).await;
    service.ready_is(200, r#"{"status":"up","own":"up"}"#).await;
    reconfigure(&service, &format!("{OWN}{}{window}", down("cache"))).await;
    let maintained = async || service.status().await["checks"]["cache"]["maintenance"].clone();
    assert_eq!(maintained().await, json!(true));
    let mut answers = Vec::new();
    wait_for("its first failure", async || {
        answers.push(service.get("/ready").await.status);
        service.status().await["checks"]["cache"]["status"] == "down"
    })
    .await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert_eq!(service.get("/ready").await.status, 200);
    assert_eq!(service.said(BEGINS).len(), 1, "the window is the same");
}

#[test]
fn the_command_that_runs_checks_once_leaves_windows_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!("{}{}", down("cache"), open(""));
    std::fs::write(dir.path().join("vitalsign.toml"), config).expect("the configuration");
    let ended = run(command(dir.path(), &["check"]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.starts_with("[-]cache failed: connection_refused"), "{ended:?}");
}

#[test]
fn a_window_that_never_ends_is_worth_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let window = "[[maintenance]]\nstart = \"00:00\"\nduration = \"24h\"\n";
    let config = format!("{OWN}{window}");
    std::fs::write(dir.path().join("vitalsign.toml"), config).expect("the configuration");
    let ended = run(command(dir.path(), &["validate"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains(":7:12: maintenance[0].duration: it lasts until"), "{ended:?}");
}
