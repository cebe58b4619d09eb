//! What can befall a server.

use vitalsign::history::{IncidentFilter, ReadError, Share};
use vitalsign::{History, HistoryOptions, Outcome};

use super::recorder::Recorder;
use super::store::PATIENT;
use crate::support::daemon::{free_port, wait_for};
use crate::support::postgres::Postgres;

fn options(server: &Postgres) -> HistoryOptions {
    HistoryOptions::new(&server.url(), "orders", "one").expect("a URL")
}

async fn changes(history: &History) -> Option<usize> {
    history.changes_after(0, 100).await.ok().map(|changes| changes.len())
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for_in_the_background() {
    let Some(mut server) = Postgres::start().await else { return };
    let history = History::open(options(&server)).await.expect("a history");
    let recorder = Recorder::of(&history, "database");
    recorder.turn(Outcome::Failure);
    history.close(PATIENT).await;
    server.kill();

    let history = History::open(options(&server)).await.expect("it does not need the server");
    let recorder = Recorder::of(&history, "database");
    recorder.turn(Outcome::Failure);
    recorder.turn(Outcome::Success);
    assert_eq!(history.availability("database").hour, Share { good: 1, counted: 2 });
    assert_eq!(history.changes_after(0, 9).await, Err(ReadError::Unavailable));
    server.restart().await;
    wait_for("the server to be used", async || changes(&history).await == Some(3)).await;
    // What it knew from before is known now.
    assert_eq!(history.availability("database").hour, Share { good: 1, counted: 3 });
    let all = IncidentFilter { limit: 9, ..IncidentFilter::default() };
    let incidents = history.incidents(&all).await.expect("a page").incidents;
    assert!(incidents.len() == 1 && incidents[0].end.is_some(), "{incidents:?}");
    history.close(PATIENT).await;
}

#[tokio::test]
async fn a_server_that_is_killed_or_frozen_loses_nothing_that_is_told_meanwhile() {
    let Some(mut server) = Postgres::start().await else { return };
    let history = History::open(options(&server)).await.expect("a history");
    let recorder = Recorder::of(&history, "database");
    recorder.turn(Outcome::Success);
    wait_for("the first change", async || changes(&history).await == Some(1)).await;
    server.kill();
    recorder.turn(Outcome::Failure);
    assert_eq!(history.changes_after(0, 9).await, Err(ReadError::Unavailable));
    server.restart().await;
    wait_for("the second change", async || changes(&history).await == Some(2)).await;
    server.freeze();
    recorder.turn(Outcome::Success);
    assert_eq!(history.changes_after(0, 9).await, Err(ReadError::Unavailable));
    assert_eq!(history.availability("database").hour, Share { good: 2, counted: 3 });
    server.thaw();
    wait_for("the third change", async || changes(&history).await == Some(3)).await;
    history.close(PATIENT).await;
    let history = History::open(options(&server)).await.expect("a history");
    assert_eq!(history.availability("database").hour, Share { good: 2, counted: 3 });
    history.close(PATIENT).await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_does_not_hold_up_the_end() {
    let url = format!("postgres://nobody:secret@127.0.0.1:{}/none", free_port());
    let options = HistoryOptions::new(&url, "orders", "one").expect("a URL");
    let history = History::open(options).await.expect("it does not need the server");
    Recorder::of(&history, "database").turn(Outcome::Success);
    assert_eq!(history.availability("database").hour.counted, 1);
    history.close(PATIENT).await;
}
