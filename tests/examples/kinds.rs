//! `examples/custom_kind.rs`: a kind of the reader's own beside the built-in ones.

use std::fs;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::daemon::PATIENCE;
use crate::support::example::{Example, built};

/// Writes `text` to a file of its own and returns what the example says of it before it exits.
async fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("own.toml");
    fs::write(&file, text).expect("to write");
    let mut command = Command::new(built("custom_kind"));
    command.env("CONFIG", &file).env("LISTEN", "127.0.0.1:0").kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends by itself");
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    said.replace(file.to_str().expect("a path"), "own.toml")
}

#[tokio::test]
async fn a_kind_of_ones_own_runs_beside_a_built_in_one() {
    let spool = tempfile::tempdir().expect("a directory");
    let path = spool.path().to_str().expect("a path");
    let example = Example::start("custom_kind", &[("SPOOL", path)]);
    example.ready_is(200, r#"{"status":"up","outbox":"up"}"#).await;
    let fill = |numbers: std::ops::RangeInclusive<u32>| {
        for number in numbers {
            fs::write(spool.path().join(number.to_string()), "").expect("to write");
        }
    };
    fill(0..=100);
    example.ready_is(200, r#"{"status":"degraded","outbox":"degraded"}"#).await;
    fill(101..=1000);
    example.ready_is(503, r#"{"status":"down","outbox":"down"}"#).await;
    let status = example.status().await;
    assert_eq!(status["service"]["name"], "mailer");
    assert_eq!(status["checks"]["disk"]["status"], "up");
    let outbox = &status["checks"]["outbox"];
    assert_eq!(outbox["kind"], "spool");
    assert_eq!(outbox["last_run"]["reason"], "out_of_range");
    assert_eq!(outbox["measurements"]["spool_waiting_files"], 1001.0);
    let metrics = example.get("/metrics").await.body;
    let series = "health_check_spool_waiting_files{check=\"outbox\",kind=\"spool\"} 1001\n";
    assert!(metrics.contains(series), "{metrics}");
    example.terminate();
    assert!(example.ended().await.success());
}

#[tokio::test]
async fn an_unknown_option_is_refused_with_its_position_and_the_nearest_name() {
    let said = refused("[checks.a]\nkind = \"spool\"\npath = \".\"\nmax_wating = 3\n").await;
    let wrong = "own.toml:4:1: checks.a.max_wating: unknown option; did you mean `max_waiting`?";
    assert!(said.lines().any(|line| line == wrong), "{said}");
}

#[tokio::test]
async fn what_the_kind_itself_refuses_is_told_with_its_position() {
    let text =
        "[checks.a]\nkind = \"spool\"\npath = \".\"\nmax_waiting = 3\n\n  warn_waiting = 4\n";
    let said = refused(text).await;
    let wrong = ": checks.a.warn_waiting: it is above `max_waiting`; write a smaller number\n";
    assert!(said.starts_with("own.toml:6:") && said.contains(wrong), "{said}");
}
