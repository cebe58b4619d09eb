//! Who comes back gets what it missed.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vitalsign::config::Details;
use vitalsign::history::HistoryOptions;
use vitalsign::{Builder, Failure, Health, History, Status, every};

use super::{Network, builder, open, scene, turn, until};
use crate::support::events::{Event, EventStream};

/// Reads the changes up to the next summary, which tells how it is now.
async fn changes_until_summary(events: &mut EventStream) -> Vec<Event> {
    let mut changes = Vec::new();
    loop {
        let event = events.event().await;
        if event.name == "summary" {
            return changes;
        }
        changes.push(event);
    }
}

/// More checks than the feed remembers changes.
const CROWD: usize = 1_300;

async fn all_are(health: &Health, status: Status) {
    for check in health.state().checks() {
        until(health, &check.name, status).await;
    }
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id.expect("a change has an id")).collect()
}

#[tokio::test(start_paused = true)]
async fn the_changes_after_the_last_one_seen_come_once_then_what_happens() {
    let (network, health) = scene().await;
    let app = health.clone().into_app();
    let mut events = open(&app, &[]).await;
    let first = events.event().await.id.expect("where it begins");
    for _ in 0..3 {
        turn(&network, &health, Status::Down).await;
        turn(&network, &health, Status::Up).await;
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(events.next_of("status").await);
    }
    let all = ids(&seen);
    assert!(all.is_sorted_by(|a, b| a < b) && all[0] > first, "{first} {all:?}");
    drop(events);

    for (last, missed) in [(first, &seen[..]), (all[0], &seen[1..]), (all[4], &seen[5..])] {
        let mut events = open(&app, &[("last-event-id", &last.to_string())]).await;
        let opening = events.event().await;
        assert_eq!((opening.name.as_str(), opening.retry), ("summary", Some(2000)));
        assert_eq!(opening.id, None, "the client's own id stays until it has seen a change");
        assert_eq!(changes_until_summary(&mut events).await, missed);
    }
    let mut events = open(&app, &[("last-event-id", &all[5].to_string())]).await;
    events.event().await;
    assert_eq!(changes_until_summary(&mut events).await, []);
    turn(&network, &health, Status::Down).await;
    assert_eq!(events.event().await.data["to"], "down", "then it is live");
}

#[tokio::test(start_paused = true)]
async fn a_bad_id_is_ignored() {
    let (network, health) = scene().await;
    turn(&network, &health, Status::Down).await;
    let app = health.clone().into_app();
    for bad in ["", "x", "-1", "1e3", "18446744073709551616"] {
        let mut events = open(&app, &[("last-event-id", bad)]).await;
        let first = events.event().await;
        assert!(first.name == "summary" && first.id.is_some(), "as if there were none: {bad}");
        let second = events.event().await;
        assert_eq!(second.name, "summary", "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_remembers_is_announced_as_a_gap() {
    let (network, health) = scene().await;
    turn(&network, &health, Status::Down).await;
    let app = health.clone().into_app();
    // Seen in the life of another process, and this one keeps no history.
    let mut events = open(&app, &[("last-event-id", "17")]).await;
    assert_eq!(events.event().await.name, "summary");
    let gap = events.event().await;
    assert_eq!((gap.name.as_str(), &gap.data), ("gap", &json!({"missed": null})));
    let changes = changes_until_summary(&mut events).await;
    let to: Vec<&Value> = changes.iter().map(|change| &change.data["to"]).collect();
    assert_eq!(to, ["up", "down"], "all that this process knows");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_is_told_how_much_it_missed_and_how_it_is_now() {
    let network = Network::default();
    let crowd = (0..CROWD).fold(builder(&network), |builder, number| {
        builder.check(format!("check-{number}"), network.check())
    });
    let health = crowd.build().expect("checks");
    all_are(&health, Status::Up).await;
    let app = health.clone().into_app();
    let mut slow = open(&app, &[]).await;
    let last = slow.event().await.id.expect("where it begins");
    network.fails(true);
    all_are(&health, Status::Down).await;

    let gap = slow.next_of("gap").await;
    let missed = gap.data["missed"].as_u64().expect("it is known");
    let changes = changes_until_summary(&mut slow).await;
    assert_eq!(missed + changes.len() as u64, CROWD as u64 + 1, "none is lost unsaid");
    assert!(changes.len() >= 1_000 && changes.iter().all(|change| change.data["to"] == "down"));
    drop(slow);

    let mut late = open(&app, &[("last-event-id", &last.to_string())]).await;
    assert_eq!(late.event().await.data["status"], "down");
    assert_eq!(late.event().await.data, json!({"missed": null}));
    assert_eq!(changes_until_summary(&mut late).await.len(), 1_000);
}

/// A service of a crowd whose history is in the file of `folder`.
async fn with_history(folder: &TempDir) -> (Health, History) {
    let file = folder.path().join("history.db");
    let history = History::open(HistoryOptions::file(file, "orders", "orders-1")).await;
    let history = history.expect("a history");
    let builder = Health::builder("orders").details(Details::Always).history(history.clone());
    let add = |builder: Builder, number| {
        let check = every(Duration::from_hours(1)).from_fn(|| async { Ok::<_, Failure>(()) });
        builder.check(format!("check-{number}"), check)
    };
    let health = (0..CROWD).fold(builder, add).build().expect("checks");
    (health, history)
}

#[tokio::test]
async fn what_the_feed_has_forgotten_comes_from_the_history_over_a_restart_too() {
    let folder = tempfile::tempdir().expect("a directory");
    let (health, history) = with_history(&folder).await;
    let start =
        open(&health.clone().into_app(), &[]).await.event().await.id.expect("where it begins");
    all_are(&health, Status::Up).await;
    let resume = async |health: &Health, last: u64| {
        let app = health.clone().into_app();
        let mut events = open(&app, &[("last-event-id", &last.to_string())]).await;
        assert_eq!(events.event().await.name, "summary");
        changes_until_summary(&mut events).await
    };
    let all = resume(&health, start).await;
    assert!(all.iter().all(|event| event.name == "status"), "there is no gap");
    let known = ids(&all);
    assert_eq!(known.len(), CROWD);
    let mut sorted = known.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), CROWD, "each came once");
    drop(health);
    history.close(Duration::from_mins(1)).await;

    let (health, history) = with_history(&folder).await;
    all_are(&health, Status::Up).await;
    let since = resume(&health, sorted[999]).await;
    let from_history = CROWD - 1_000;
    assert_eq!(ids(&since[..from_history]), sorted[1_000..]);
    let told = |events: &[Event]| events.iter().map(|e| e.data.clone()).collect::<Vec<_>>();
    let one = |id| all.iter().find(|event| event.id == Some(id)).expect("it was told").clone();
    let live: Vec<_> = sorted[1_000..].iter().map(|id| one(*id)).collect();
    assert_eq!(told(&since[..from_history]), told(&live), "they look as they did");

    let too_long = resume(&health, start).await;
    assert_eq!(ids(&too_long[..1_000]), sorted[..1_000]);
    assert_eq!(
        (too_long[1_000].name.as_str(), &too_long[1_000].data),
        ("gap", &json!({"missed": null}),)
    );
    assert_eq!(too_long.len(), 1_001 + 1_000, "then what the feed remembers");
    drop(health);
    history.close(Duration::from_mins(1)).await;
}
