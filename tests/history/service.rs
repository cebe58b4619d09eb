//! The service's own history: where it is by default, and what happens where it cannot be.

use crate::support::service::{Service, command, run};

const CHECK: &str = r#"
    [server]
    drain_delay = "1ms"
    [checks.disk]
    kind = "disk"
    path = "."
    interval = "200ms"
    timeout = "100ms"
    min_free = "0%"
"#;

fn with(history: &str) -> String {
    format!("{CHECK}\n[history]\n{history}\n")
}

#[tokio::test]
async fn it_is_kept_in_the_working_directory_and_goes_on_after_a_restart() {
    let service = Service::start(CHECK).await;
    service.ready_is(200, r#"{"status":"up","disk":"up"}"#).await;
    let wanted = r#"health_history_store_up{backend="sqlite"} 1"#;
    service.get_until("/metrics", |answer| answer.body.contains(wanted)).await;
    let written = "health_history_writes_total{outcome=\"success\"} ";
    service
        .get_until("/metrics", |answer| {
            let value = answer.body.lines().find_map(|line| line.strip_prefix(written));
            value.and_then(|v| v.parse::<f64>().ok()).is_some_and(|v| v >= 2.0)
        })
        .await;
    let before = service.status().await;
    let database = service.dir.path().join("vitalsign.db");
    assert!(database.exists());
    let kept = tempfile::tempdir().expect("a directory");
    let copy = kept.path().join("vitalsign.db");
    let folder = service.dir.path().to_owned();
    service.signal(rustix::process::Signal::TERM);
    // Its directory goes with it, so the file is taken out in time.
    let moved = std::thread::spawn(move || {
        let wal = folder.join("vitalsign.db-wal");
        while wal.exists() {
            std::thread::yield_now();
        }
        std::fs::copy(folder.join("vitalsign.db"), copy).expect("to copy it");
    });
    moved.join().expect("it was copied");
    let (status, log) = service.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let service = Service::start_with(CHECK, |command| {
        let to = command.get_current_dir().expect("its directory").join("vitalsign.db");
        std::fs::copy(kept.path().join("vitalsign.db"), to).expect("to copy it");
    })
    .await;
    service.ready_is(200, r#"{"status":"up","disk":"up"}"#).await;
    let after = service.status().await;
    let millis = |time: &serde_json::Value| time.as_str().expect("a time")[..23].to_owned();
    for path in ["/since", "/checks/disk/since"] {
        let of = |document: &serde_json::Value| millis(document.pointer(path).expect("a time"));
        assert_eq!(of(&before), of(&after), "{path}");
    }
}

#[tokio::test]
async fn off_keeps_nothing() {
    let service = Service::start(&with("url = \"off\"")).await;
    service.ready_is(200, r#"{"status":"up","disk":"up"}"#).await;
    assert!(!service.dir.path().join("vitalsign.db").exists());
}

#[tokio::test]
async fn a_path_that_was_named_must_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = with("url = \"sqlite:nowhere/history.db\"");
    std::fs::write(dir.path().join("vitalsign.toml"), config).expect("the configuration");
    let ended = run(command(dir.path(), &["--listen", "127.0.0.1:0"]));
    assert_eq!(ended.code, Some(74), "{}", ended.err);
    assert!(ended.err.contains("nowhere/history.db"), "{}", ended.err);
    // Nothing but the service keeps a history.
    let ended = run(command(dir.path(), &["check"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[tokio::test]
async fn the_default_path_that_cannot_be_written_leaves_it_in_memory_with_a_warning() {
    let service = Service::start_with(CHECK, |command| {
        let dir = command.get_current_dir().expect("its directory");
        std::fs::create_dir(dir.join("vitalsign.db")).expect("a folder in its place");
    })
    .await;
    service.ready_is(200, r#"{"status":"up","disk":"up"}"#).await;
    assert!(service.log().contains("the history is kept in memory"), "{}", service.log());
    let up = r#"health_history_store_up{backend="sqlite"} 1"#;
    service.get_until("/metrics", |answer| answer.body.contains(up)).await;
}
