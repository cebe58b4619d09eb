//! What can befall a file.

use std::fs;
use std::path::Path;

use sqlx::Connection as _;
use vitalsign::history::{IncidentFilter, Share};
use vitalsign::{History, HistoryError, HistoryOptions, Outcome};

use super::recorder::Recorder;
use super::store::{PATIENT, Store};
use crate::support::daemon::wait_for;

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_new_one_begun() {
    for damage in ["no database", "damaged pages"] {
        let store = Store::file();
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Failure);
        history.close(PATIENT).await;
        let mut bytes = fs::read(store.path()).expect("the file");
        let from = if damage == "no database" { 0 } else { 100 };
        bytes[from..].fill(0xa5);
        fs::write(store.path(), &bytes).expect("to damage it");
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Success);
        assert_eq!(history.availability("database").hour, Share { good: 1, counted: 1 });
        history.close(PATIENT).await;
        let folder = store.path().parent().map(Path::to_owned).expect("a folder");
        let names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        let is_aside = |name: &&String| {
            name.starts_with("history.db.corrupt-")
                && !name.ends_with("-wal")
                && !name.ends_with("-shm")
        };
        let aside = names.iter().filter(is_aside).count();
        assert_eq!(aside, 1, "{damage}: {names:?}");
        assert_eq!(store.number("SELECT count(*) FROM vitalsign_changes").await, 1, "{damage}");
    }
}

#[tokio::test]
async fn a_deleted_file_is_begun_anew_with_what_is_known() {
    let store = Store::file();
    let history = store.open().await;
    let recorder = Recorder::of(&history, "database");
    recorder.turn(Outcome::Failure);
    wait_for("the change", async || {
        store.number("SELECT count(*) FROM vitalsign_changes").await == 1
    })
    .await;
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", store.path().display())).expect("to delete it");
    }
    recorder.run(Outcome::Failure);
    let all = IncidentFilter { limit: 9, ..IncidentFilter::default() };
    wait_for("the open incident to be there again", async || {
        history.incidents(&all).await.is_ok_and(|page| page.incidents.len() == 1)
    })
    .await;
    recorder.turn(Outcome::Success);
    history.close(PATIENT).await;
    let history = store.open().await;
    let incidents = history.incidents(&all).await.expect("a page").incidents;
    assert!(incidents[0].end.is_some(), "{incidents:?}");
    assert!(history.availability("database").hour.counted >= 1);
    history.close(PATIENT).await;
}

#[tokio::test]
async fn a_lock_of_somebody_else_delays_nothing_and_loses_nothing() {
    let store = Store::file();
    let history = store.open().await;
    let recorder = Recorder::of(&history, "database");
    recorder.turn(Outcome::Success);
    wait_for("the change", async || {
        store.number("SELECT count(*) FROM vitalsign_changes").await == 1
    })
    .await;
    let mut other = store.connect().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.expect("the lock");
    for _ in 0..20 {
        recorder.turn(Outcome::Failure);
        recorder.turn(Outcome::Success);
    }
    assert_eq!(history.availability("database").hour, Share { good: 21, counted: 41 });
    // Reading goes on; what waits for the lock is not in it yet.
    let changes = history.changes_after(0, 100).await.expect("changes");
    assert_eq!(changes.len(), 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("to let go");
    other.close().await.expect("to close");
    wait_for("all changes", async || {
        history.changes_after(0, 100).await.is_ok_and(|changes| changes.len() == 41)
    })
    .await;
    history.close(PATIENT).await;
    let history = store.open().await;
    assert_eq!(history.availability("database").hour, Share { good: 21, counted: 41 });
    history.close(PATIENT).await;
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_says_why() {
    let options = HistoryOptions::file("/nowhere/history.db", "orders", "one");
    let error = History::open(options).await.expect_err("there is no such folder");
    assert!(matches!(error, HistoryError::CannotOpen { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("/nowhere/history.db") && text.contains("No such file"), "{text}");
}

#[tokio::test]
async fn a_history_in_memory_can_be_read_too() {
    let history = History::open(HistoryOptions::in_memory("orders", "one")).await;
    let history = history.expect("memory");
    Recorder::of(&history, "database").turn(Outcome::Failure);
    let all = IncidentFilter { limit: 9, ..IncidentFilter::default() };
    assert_eq!(history.incidents(&all).await.expect("a page").incidents.len(), 1);
    assert_eq!(history.days(1).await.expect("days")["database"][0].share.counted, 1);
    history.close(PATIENT).await;
}
