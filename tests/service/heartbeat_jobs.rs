//! Jobs that report their start, their end and their failure, and what is known of them later.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::support::daemon::wait_for;
use crate::support::http::Answer;
use crate::support::service::Service;

const TOKEN: (&str, &str) = ("authorization", "Bearer s3cr3t");

/// A job whose check looks seldom, so that what is shown sooner was shown at once.
const CONFIG: &str = r#"
    [checks.backup]
    kind = "heartbeat"
    grace = "1h"
    token = "s3cr3t"
    interval = "30m"
    failure_threshold = 5
    gates = []
"#;

/// A service whose check has run once, and waits.
async fn waiting(config: &str) -> Service {
    let service = Service::start(config).await;
    let unknown = |answer: &Answer| answer.body.contains("\"outcome\":\"unknown\"");
    service.get_until("/status/backup", unknown).await;
    service
}

async fn report(service: &Service, path: &str) {
    let answer = service.ask("POST", &format!("/heartbeat/backup{path}"), &[TOKEN]).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path}");
}

/// The check, once its status is this one.
async fn is(service: &Service, status: &str) -> Value {
    let wanted = format!("\"status\":\"{status}\"");
    let answer = service.get_until("/status/backup", |answer| answer.body.contains(&wanted)).await;
    serde_json::from_str(&answer.body).expect("JSON")
}

#[tokio::test]
async fn a_failure_that_is_reported_counts_at_once_whatever_the_threshold() {
    let service = waiting(CONFIG).await;
    for (path, reason, message) in [
        ("/fail", "other", "a failure was reported"),
        ("?status=fail", "other", "a failure was reported"),
        ("?success=false", "other", "a failure was reported"),
        ("?error=disk%20full", "other", "disk full"),
        ("/1", "unexpected_status", "exit code 1"),
        ("/255?error=broken%20pipe", "unexpected_status", "exit code 255: broken pipe"),
    ] {
        report(&service, "").await;
        is(&service, "up").await;
        report(&service, path).await;
        let check = is(&service, "down").await;
        assert_eq!(check["last_run"]["reason"], reason, "{path}");
        assert_eq!(check["last_run"]["message"], message, "{path}");
        assert_eq!(check["consecutive_failures"], 1, "{path}");
        // The end of its start is no success.
        report(&service, "/start").await;
        assert_eq!(is(&service, "down").await["last_run"]["message"], message, "{path}");
    }
    report(&service, "/0").await;
    is(&service, "up").await;
}

#[tokio::test]
async fn a_body_may_say_that_it_failed_and_every_method_may_report() {
    let service = waiting(CONFIG).await;
    for (method, path) in [("GET", "/fail"), ("HEAD", "/2"), ("PUT", "/fail"), ("POST", "/3")] {
        report(&service, "").await;
        is(&service, "up").await;
        let path = format!("/heartbeat/backup{path}?token=s3cr3t");
        assert_eq!(service.ask(method, &path, &[]).await.status, 204, "{method}");
        is(&service, "down").await;
    }
    for (path, status) in [
        ("/256", 404),
        ("/-1", 404),
        ("/started", 404),
        ("/fail/now", 404),
        ("?status=perhaps", 400),
        ("?success=maybe", 400),
    ] {
        let answer = service.ask("POST", &format!("/heartbeat/backup{path}"), &[TOKEN]).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
    }
    let wrong = service.ask("POST", "/heartbeat/backup/fail", &[]).await;
    assert_eq!(wrong.status, 401);
    let nobody = service.ask("POST", "/heartbeat/nobody/fail", &[TOKEN]).await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn the_duration_of_the_job_is_that_of_the_run() {
    // What a job takes has nothing to do with how long looking at it may take.
    let config = CONFIG.replace("\"30m\"", "\"50ms\"") + "timeout = \"40ms\"\n";
    let service = waiting(&config).await;
    report(&service, "/start").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    report(&service, "/0").await;
    let check = is(&service, "up").await;
    let took = check["last_run"]["duration_seconds"].as_f64().expect("a duration");
    assert!((0.15..60.0).contains(&took), "{check}");
    let past = service.get("/status/backup/history?step=1m").await;
    let past: Value = serde_json::from_str(&past.body).expect("JSON");
    let longest = past["steps"].as_array().expect("steps").iter();
    let longest = longest.filter_map(|step| step["max_seconds"].as_f64()).fold(0.0, f64::max);
    assert!(longest >= 0.15, "{past}");
    // Without a start there is no duration but that of the look.
    report(&service, "").await;
    let short = async || {
        let run = is(&service, "up").await;
        run["last_run"]["duration_seconds"].as_f64().is_some_and(|took| took < 0.15)
    };
    wait_for("a run without a start", short).await;
}

#[tokio::test]
async fn a_run_that_does_not_end_fails() {
    let config = CONFIG.replace("\"30m\"", "\"50ms\"").replace("threshold = 5", "threshold = 1")
        + "max_duration = \"100ms\"\n";
    let service = waiting(&config).await;
    report(&service, "/start").await;
    let check = is(&service, "down").await;
    assert_eq!(check["last_run"]["reason"], "missed_heartbeat");
    let message = check["last_run"]["message"].as_str().expect("a message");
    assert!(message.ends_with("has not ended, longer than max_duration = 100ms"), "{message}");
    report(&service, "").await;
    is(&service, "up").await;
}

#[tokio::test]
async fn a_message_changes_nothing_else() {
    let config = CONFIG.replace("\"30m\"", "\"50ms\"");
    let service = waiting(&config).await;
    report(&service, "").await;
    is(&service, "up").await;
    report(&service, "/log?error=half%20of%20it").await;
    let said = |answer: &Answer| answer.body.contains("\"message\":\"half of it\"");
    let check = service.get_until("/status/backup", said).await;
    assert!(check.body.contains("\"status\":\"up\""), "{}", check.body);
}

#[tokio::test]
async fn what_was_heard_survives_a_kill() {
    for (path, status, message) in [
        ("", "up", Value::Null),
        ("?error=disk%20full", "down", "disk full".into()),
        ("/3", "down", "exit code 3".into()),
    ] {
        let service = waiting(CONFIG).await;
        report(&service, path).await;
        // At once, without waiting for anything.
        let service = Service::start_in(service.killed().await, |_| {}).await;
        let check = is(&service, status).await;
        assert_eq!(check["last_run"]["message"], message, "{path}");
    }
    // A run that has started ends in the next process, and takes as long as it took.
    let service = waiting(CONFIG).await;
    report(&service, "/start").await;
    let service = Service::start_in(service.killed().await, |_| {}).await;
    report(&service, "").await;
    let check = is(&service, "up").await;
    let took = check["last_run"]["duration_seconds"].as_f64().expect("a duration");
    assert!(took > 0.001, "{check}");
}

#[tokio::test]
async fn a_restart_does_not_begin_the_grace_anew() {
    let config = CONFIG.replace("\"1h\"", "\"100ms\"");
    let service = waiting(&config).await;
    let path = service.dir.path().join("vitalsign.db");
    wait_for("the store to hold since when it waits", async || {
        let options = SqliteConnectOptions::new().filename(&path);
        let Ok(mut conn) = options.connect().await else { return false };
        let row = sqlx::query("SELECT 1 FROM vitalsign_heartbeats").fetch_optional(&mut conn);
        row.await.is_ok_and(|row| row.is_some())
    })
    .await;
    // Written after the first run, and so the grace of 100 ms is over soon.
    let began = tokio::time::Instant::now();
    wait_for("the grace to be over", async || began.elapsed() > Duration::from_millis(100)).await;
    let service = Service::start_in(service.killed().await, |_| {}).await;
    // Its first run knows that nothing has come since the first one of all.
    let check = is(&service, "down").await;
    assert_eq!(check["last_run"]["reason"], "missed_heartbeat");
}

/// The blocks of a section of the page, as they stand there.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let page = include_str!("../../docs/HEARTBEATS.md");
    let (_, rest) = page.split_once(&format!("\n### {section}\n")).expect("its section");
    let rest = rest.split("\n##").next().unwrap_or(rest);
    let fence = format!("```{language}\n");
    let blocks = rest.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().expect("its end").to_owned()).collect()
}

/// A shell that finds the service and the job where the page's lines expect them.
fn shell(service: &Service, script: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script).current_dir(service.dir.path());
    let path = format!("{}:/usr/bin:/bin", service.dir.path().display());
    shell.env_clear().env("PATH", path);
    shell.env("VITALS", format!("http://{}", service.address)).env("TOKEN", "s3cr3t");
    shell
}

fn succeeds(mut command: Command) {
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A job that ends with this code, as `backup` in the service's directory.
fn job(service: &Service, code: u8) {
    let path = service.dir.path().join("backup");
    let text = format!("#!/bin/sh\necho 3 files lost\nexit {code}\n");
    std::fs::write(&path, text).expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("to make it a program");
}

#[tokio::test]
async fn the_lines_of_the_page_report() {
    for (section, tool) in [("curl", "curl"), ("wget", "wget")] {
        let service = waiting(CONFIG).await;
        let lines = blocks(section, "sh");
        let [line] = lines.as_slice() else { panic!("{section}: {lines:?}") };
        assert!(line.starts_with(tool), "{line}");
        succeeds(shell(&service, line));
        is(&service, "up").await;
    }
}

#[tokio::test]
async fn the_wrapper_of_the_page_reports_start_end_and_output() {
    let service = waiting(CONFIG).await;
    let lines = blocks("cron", "sh");
    let [wrapper] = lines.as_slice() else { panic!("{lines:?}") };
    std::fs::write(service.dir.path().join("watched"), wrapper).expect("a script");
    job(&service, 0);
    succeeds(shell(&service, "sh watched backup backup"));
    let check = is(&service, "up").await;
    assert_eq!(check["last_run"]["message"], "3 files lost");
    assert!(check["last_run"]["duration_seconds"].as_f64() > Some(0.0005), "{check}");
    job(&service, 7);
    let output = shell(&service, "sh watched backup backup").output().expect("a shell");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let check = is(&service, "down").await;
    assert_eq!(check["last_run"]["message"], "exit code 7: 3 files lost");
}

#[tokio::test]
async fn the_job_of_kubernetes_reports_as_its_manifest_is_written() {
    let service = waiting(CONFIG).await;
    let manifests = blocks("Kubernetes CronJob", "yaml");
    let [manifest] = manifests.as_slice() else { panic!("{manifests:?}") };
    let (_, script) = manifest.split_once("- |\n").expect("its script");
    for (code, status) in [(0, "up"), (5, "down")] {
        job(&service, code);
        let output = shell(&service, script).output().expect("a shell");
        assert_eq!(output.status.code(), Some(code.into()), "{output:?}");
        is(&service, status).await;
    }
}

/// Runs the command of a unit's line as systemd does: `-` passes a failure over, `%p` and `%i` are
/// the unit's name, variables are replaced within quotes.
fn systemd(service: &Service, line: &str) -> Command {
    let (_, command) = line.split_once('=').expect("an assignment");
    let command = command.trim_start_matches('-').replace("%p", "backup").replace("%i", "backup");
    shell(service, &command)
}

#[tokio::test]
async fn the_units_of_systemd_report_as_they_are_written() {
    let service = waiting(CONFIG).await;
    let units = blocks("systemd", "ini");
    let [unit, failed] = units.as_slice() else { panic!("{units:?}") };
    let lines = |unit: &str| -> BTreeMap<String, String> {
        let lines = unit.lines().filter_map(|line| Some((line.split_once('=')?.0, line)));
        lines.map(|(key, line)| (key.to_owned(), line.to_owned())).collect()
    };
    let (unit, failed) = (lines(unit), lines(failed));
    assert!(unit["OnFailure"].ends_with("heartbeat-failed@%p.service"), "{unit:?}");
    succeeds(systemd(&service, &unit["ExecStartPre"]));
    succeeds(systemd(&service, &unit["ExecStartPost"]));
    is(&service, "up").await;
    succeeds(systemd(&service, &failed["ExecStart"]));
    is(&service, "down").await;
}
