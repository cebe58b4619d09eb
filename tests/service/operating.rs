//! Backup, upgrade, downgrade: as `docs/OPERATING.md` says, and what the commands refuse.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

use crate::support::daemon::wait_for;
use crate::support::http::Answer;
use crate::support::service::{Ended, Service, command, run, seen_locally};

/// A service that runs often enough to write all the time, with a history where the page has it.
fn config(root: &Path) -> String {
    format!(
        r#"
        [service]
        name = "orders"
        instance = "orders-1"
        [history]
        url = "sqlite:{}/var/lib/vitalsign/vitalsign.db"
        [checks.database]
        kind = "sqlite"
        path = "{}/own.db"
        create = true
        interval = "50ms"
        timeout = "40ms"
        [checks.job]
        kind = "heartbeat"
        token = "s3cr3t"
        grace = "1h"
        gates = []
        "#,
        root.display(),
        root.display()
    )
}

/// The page's folders, and the service that it is about.
async fn serving() -> Service {
    let dir = tempfile::tempdir().expect("a directory");
    for folder in ["etc/vitalsign", "var/lib/vitalsign", "var/backups"] {
        std::fs::create_dir_all(dir.path().join(folder)).expect("a folder");
    }
    let file = dir.path().join("etc/vitalsign/vitalsign.toml");
    std::fs::write(file, seen_locally(&config(dir.path()))).expect("the configuration");
    start(dir).await
}

async fn start(dir: tempfile::TempDir) -> Service {
    Service::start_in(dir, |command| {
        command.args(["--config", "etc/vitalsign/vitalsign.toml"]);
    })
    .await
}

/// The blocks of a section of the page.
fn blocks(section: &str) -> Vec<String> {
    let page = include_str!("../../docs/OPERATING.md");
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("its section");
    let rest = rest.split("\n## ").next().unwrap_or(rest);
    let blocks = rest.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("its end").to_owned()).collect()
}

/// Runs a block of the page, below `root` instead of `/`.
fn shell(root: &Path, block: &str) -> Ended {
    let block = ["/etc/", "/var/"].iter().fold(block.to_owned(), |block, place| {
        block.replace(&format!(" {place}"), &format!(" {}{place}", root.display()))
    });
    let program = Path::new(env!("CARGO_BIN_EXE_vitalsign")).parent().expect("a folder");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-ec").arg(block).current_dir(root);
    shell.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.display()));
    run(shell)
}

/// A number that a query finds in a file.
async fn number(path: &Path, sql: &'static str) -> i64 {
    let options = SqliteConnectOptions::new().filename(path);
    let mut conn = options.connect().await.expect("a database");
    let number = sqlx::query(sql).fetch_one(&mut conn).await.expect("a number").get(0);
    conn.close().await.expect("to close it");
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_followed_through_backup_loss_and_restore() {
    let service = serving().await;
    let heard = service.ask("POST", "/heartbeat/job?token=s3cr3t", &[]).await;
    assert_eq!(heard.status, 204);
    let root = service.dir.path().to_owned();
    let written = async || {
        number(&root.join("var/lib/vitalsign/vitalsign.db"), "SELECT count(*) FROM vitalsign_runs")
            .await
    };
    wait_for("runs on disk", async || written().await >= 2).await;
    let backup = blocks("Backup");
    let ended = shell(&root, &backup[0]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let copy = root.join("var/backups/vitalsign.db");
    let mode = std::fs::metadata(&copy).expect("the copy").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        number(&copy, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'")
            .await,
        1
    );
    assert!(number(&copy, "SELECT count(*) FROM vitalsign_runs").await >= 2);
    assert_eq!(number(&copy, "SELECT count(*) FROM vitalsign_heartbeats").await, 1);
    let left: Vec<_> = std::fs::read_dir(root.join("var/backups")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let again = shell(&root, &backup[0]);
    assert_eq!(again.code, Some(74), "{again:?}");
    assert!(again.err.contains("exists and is left as it is"), "{again:?}");

    // Everything is lost.
    let dir = service.killed().await;
    for entry in std::fs::read_dir(root.join("var/lib/vitalsign")).expect("a folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("to remove it");
    }
    let [restore] = &blocks("Restore")[..] else { panic!("one block") };
    let restored = shell(&root, restore);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let service = start(dir).await;
    let up = |answer: &Answer| answer.body.contains("\"status\":\"up\"");
    let job = service.get_until("/status/job", up).await;
    assert!(job.body.contains("heartbeat_age_seconds"), "{}", job.body);
    let runs = service.get("/status/database/history?step=1m").await;
    let past: Value = serde_json::from_str(&runs.body).expect("JSON");
    let known = past["steps"].as_array().expect("steps").iter();
    assert!(known.filter_map(|step| step["runs"].as_u64()).sum::<u64>() >= 100, "{past}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_tried_beside_the_running_service() {
    let service = serving().await;
    let [before] = &blocks("Upgrade")[..] else { panic!("one block") };
    let (validate, check) = before.split_once('\n').expect("two commands");
    let validated = shell(service.dir.path(), validate);
    assert_eq!(validated.code, Some(0), "{validated:?}");
    let checked = shell(service.dir.path(), check);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_file_are_refused() {
    let service = serving().await;
    let id = service.id();
    let dir = service.dir.path();
    let arguments = ["--config", "etc/vitalsign/vitalsign.toml", "--listen", "127.0.0.1:0"];
    let second = run(command(dir, &arguments));
    assert_eq!(second.code, Some(74), "{second:?}");
    let said =
        format!("is the history of another vitalsign, process {id} (orders, orders-1); stop");
    assert!(second.err.contains(&said), "{second:?}");
    // By another name of the same file, too.
    std::os::unix::fs::symlink(dir.join("var"), dir.join("alias")).expect("a link");
    let aliased = config(dir).replace("/var/lib", "/alias/lib").replace("orders-1", "orders-2");
    std::fs::write(dir.join("other.toml"), aliased).expect("to write");
    let third = run(command(dir, &["-c", "other.toml", "--listen", "127.0.0.1:0"]));
    assert_eq!(third.code, Some(74), "{third:?}");
    // The first one noticed nothing.
    assert_eq!(service.get("/ready").await.status, 200);

    // A process that is killed leaves no lock.
    let dir = service.killed().await;
    assert!(dir.path().join("var/lib/vitalsign/vitalsign.db-lock").exists());
    let service = start(dir).await;
    service.get_until("/ready", |answer| answer.status == 200).await;
    service.signal(Signal::TERM);
}

#[test]
fn what_cannot_be_copied_is_refused_with_what_would_be_right() {
    let dir = tempfile::tempdir().expect("a directory");
    for (history, code, wanted) in [
        ("url = \"off\"", 2, "no history is kept"),
        ("url = \"postgres://orders:hunter2@127.0.0.1:1/orders\"", 2, "pg_dump --format=custom"),
        ("url = \"sqlite:nowhere.db\"", 74, "/nowhere.db`; name the configuration"),
    ] {
        std::fs::write(dir.path().join("vitalsign.toml"), format!("[history]\n{history}\n"))
            .expect("to write");
        let ended = run(command(dir.path(), &["backup", "copy.db"]));
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.contains(wanted), "{wanted}: {ended:?}");
        assert!(!ended.err.contains("hunter2"), "{ended:?}");
        assert!(!dir.path().join("copy.db").exists());
    }
    std::fs::write(dir.path().join("vitalsign.toml"), "[history]\nurl = \"sqlite:a.db\"\n")
        .expect("to write");
    std::fs::write(dir.path().join("a.db"), "this is no database, whatever its name says")
        .expect("to write");
    let garbage = run(command(dir.path(), &["backup", "copy.db"]));
    assert_eq!(garbage.code, Some(74), "{garbage:?}");
    assert!(garbage.err.contains("not a database"), "{garbage:?}");
    let nowhere = run(command(dir.path(), &["backup", "no/such/folder/copy.db"]));
    assert_eq!(nowhere.code, Some(74), "{nowhere:?}");
    let entries = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(entries, 2, "nothing is left behind");
}
