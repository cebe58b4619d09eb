use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::time::{Instant, timeout};

use super::feed::ROUND;
use super::*;
use crate::model::{CheckInfo, Event, Gates, ServiceStatus, Sink, Status, Transition};

/// Few, so that readers fall behind soon.
const FEW: usize = 8;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_hours(1);

fn check() -> Arc<CheckInfo> {
    Arc::new(CheckInfo {
        name: "database".into(),
        kind: "sqlite",
        description: None,
        gates: Gates::READY,
        depends_on: Vec::new(),
        groups: Vec::new(),
        labels: BTreeMap::new(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        failure_threshold: 3,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: true,
        server: None,
    })
}

fn transition(id: u64) -> Transition {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(id);
    Transition {
        id,
        from: Status::Up,
        to: Status::Down,
        at,
        since: at,
        reason: None,
        message: None,
        trace: None,
    }
}

fn publish(feed: &Feed, id: u64) {
    feed.record(&check(), Event::Transition(&transition(id)));
}

/// An id that no change before this feed's start has.
fn after_start(feed: &Feed, more: u64) -> u64 {
    feed.kept().floor.id + 1_000 + more
}

/// Everything that is there for a reader; rounds left out.
fn drain(reader: &mut Reader) -> Vec<Result<u64, u64>> {
    std::iter::from_fn(|| reader.take())
        .filter_map(|taken| match taken {
            FeedItem::Change(published) => Some(Ok(published.id())),
            FeedItem::Missed(count) => Some(Err(count)),
            FeedItem::Round(_) => None,
        })
        .collect()
}

fn ids(from: u64, to: u64) -> Vec<Result<u64, u64>> {
    (from..to).map(Ok).collect()
}

#[derive(Debug, Clone)]
enum Action {
    Publish(u8),
    Round,
    Read { reader: usize, at_most: u8 },
}

fn step() -> impl Strategy<Value = Action> {
    prop_oneof![
        (1_u8..6).prop_map(Action::Publish),
        Just(Action::Round),
        (0_usize..4, 1_u8..8).prop_map(|(reader, at_most)| Action::Read { reader, at_most }),
    ]
}

proptest! {
    #[test]
    fn each_reader_sees_every_change_once_or_is_told_how_many_it_missed(
        steps in prop::collection::vec(step(), 0..200)
    ) {
        let (feed, _waker) = Feed::keeping(FEW);
        let base = after_start(&feed, 0);
        let mut readers: Vec<_> = (0..4).map(|_| (feed.reader(feed.mark()), 0)).collect();
        let (mut published, mut rounds) = (0, 0);
        let read = |(reader, expected): &mut (Reader, u64), at_most: u8| {
            for _ in 0..at_most {
                match reader.take() {
                    Some(FeedItem::Change(change)) => {
                        assert_eq!(change.id(), base + *expected);
                        *expected += 1;
                    }
                    Some(FeedItem::Missed(count)) => {
                        assert!(count > 0);
                        *expected += count;
                    }
                    Some(FeedItem::Round(_)) => {}
                    None => break,
                }
                assert_eq!(reader.position(), *expected);
            }
        };
        for step in steps {
            match step {
                Action::Publish(count) => for _ in 0..count {
                    publish(&feed, base + published);
                    published += 1;
                },
                Action::Round => {
                    feed.next_round();
                    rounds += 1;
                }
                Action::Read { reader, at_most } => read(&mut readers[reader], at_most),
            }
            prop_assert!(feed.kept().changes.iter().len() <= FEW);
        }
        for reader in &mut readers {
            read(reader, u8::MAX);
            prop_assert_eq!(reader.1, published);
        }
        prop_assert_eq!(feed.mark().round, rounds);
    }

    #[test]
    fn whoever_comes_back_goes_on_after_the_change_it_saw_last(
        published in 0_u64..30, seen in 0_u64..30, swapped in prop::bool::ANY
    ) {
        let (feed, _waker) = Feed::keeping(FEW);
        let base = after_start(&feed, 0);
        // Neighbours in the wrong order, as two checks that change at once may send them.
        let order: Vec<u64> = (0..published).map(|at| {
            let partner = (at ^ 1).min(published - 1);
            base + if swapped && at % 4 < 2 { partner } else { at }
        }).collect();
        for id in &order {
            publish(&feed, *id);
        }
        let id = base + seen;
        let (mut reader, floor) = feed.reader_after(id);
        let kept = &order[order.len().saturating_sub(FEW)..];
        let expected: Vec<u64> = match kept.iter().position(|kept| *kept == id) {
            Some(at) => kept[at + 1..].to_vec(),
            None if floor.is_some() => kept.to_vec(),
            None => kept.iter().copied().skip_while(|kept| *kept <= id).collect(),
        };
        prop_assert_eq!(drain(&mut reader), expected.into_iter().map(Ok).collect::<Vec<_>>());
        // The ring says that it does not reach back exactly when something newer is gone from it.
        let gone = &order[..order.len() - kept.len()];
        if !kept.contains(&id) {
            prop_assert_eq!(floor.is_some(), gone.iter().any(|gone| *gone > id));
        }
        if let Some(floor) = floor {
            prop_assert!(floor.is_change);
            prop_assert_eq!(Some(floor.id), gone.iter().max().copied());
        }
    }
}

#[test]
fn an_id_from_before_the_start_is_older_than_the_feed() {
    let (feed, _waker) = Feed::keeping(FEW);
    let floor = feed.kept().floor;
    assert!(!floor.is_change);
    let new = after_start(&feed, 0);
    publish(&feed, new);
    let (mut reader, older) = feed.reader_after(17);
    assert_eq!((drain(&mut reader), older), (vec![Ok(new)], Some(floor)));
    let (mut reader, older) = feed.reader_after(floor.id);
    assert_eq!((drain(&mut reader), older), (vec![Ok(new)], None));
    let (mut reader, older) = feed.reader_after(u64::MAX);
    assert_eq!((drain(&mut reader), older), (vec![], None), "an id from the future has seen all");
}

#[test]
fn a_round_is_told_before_the_changes_that_came_before_it() {
    let (feed, _waker) = Feed::keeping(FEW);
    let base = after_start(&feed, 0);
    let mut reader = feed.reader(feed.mark());
    publish(&feed, base);
    feed.service(ServiceStatus::Down, SystemTime::UNIX_EPOCH);
    feed.record(&check(), Event::Removed);
    let mark = feed.mark();
    assert!(matches!(reader.take(), Some(FeedItem::Round(round)) if round == mark.round));
    assert!(reader.position() < mark.position);
    assert_eq!(drain(&mut reader), ids(base, base + 1));
    assert_eq!((mark.position, mark.id), (1, base));
}

#[test]
fn runs_and_windows_of_maintenance_are_no_changes() {
    let (feed, _waker) = Feed::keeping(FEW);
    let before = feed.mark();
    feed.record(&check(), Event::Maintenance(true));
    feed.record(&check(), Event::Skipped(crate::model::SkipReason::Overrun));
    assert_eq!(feed.mark(), before);
}

#[test]
fn a_change_is_shown_once_to_all_with_the_same_right() {
    let (feed, _waker) = Feed::keeping(FEW);
    let mut readers = [feed.reader(feed.mark()), feed.reader(feed.mark())];
    publish(&feed, after_start(&feed, 0));
    let mut shown = 0;
    for reader in &mut readers {
        let Some(FeedItem::Change(published)) = reader.take() else { panic!("there is a change") };
        for details in [false, true] {
            let mut show = |_: &StatusChange| {
                shown += 1;
                Bytes::from(details.to_string())
            };
            assert_eq!(published.shown(details, &mut show), details.to_string());
        }
    }
    assert_eq!(shown, 2);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_is_woken_by_a_change_and_ends_with_the_feed() {
    let (feed, notifier) = Feed::keeping(FEW);
    let base = after_start(&feed, 0);
    publish(&feed, base);
    let mut changes = feed.subscribe().checks();
    let waking = tokio::spawn(notifier.run());
    assert!(changes.next().now_or_never().is_none(), "what came before is not delivered");
    publish(&feed, base + 1);
    let change = timeout(PATIENCE, changes.next()).await.expect("it is woken");
    let change = change.expect("it goes on").expect("nothing is missed");
    assert_eq!((change.transition.id, &*change.check.name), (base + 1, "database"));

    for more in 2..3 + FEW as u64 {
        publish(&feed, base + more);
    }
    let missed = timeout(PATIENCE, changes.next()).await.expect("it is woken");
    assert_eq!(missed.expect("it goes on").map(|c| c.transition.id), Err(Missed(1)));
    for more in 3..3 + FEW as u64 {
        let change = changes.next().await.expect("it goes on").expect("it is kept");
        assert_eq!(change.transition.id, base + more);
    }
    waking.abort();
    assert!(timeout(PATIENCE, changes.next()).await.expect("it ends").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_round_begins_every_15_seconds_and_wakes_everybody() {
    let (feed, notifier) = Feed::keeping(FEW);
    let mut readers: Vec<_> = (0..100).map(|_| feed.reader(feed.mark())).collect();
    tokio::spawn(notifier.run());
    let start = Instant::now();
    for round in 1..=3 {
        for reader in &mut readers {
            let received = async {
                loop {
                    match reader.take() {
                        Some(FeedItem::Round(round)) => return round,
                        Some(other) => panic!("{other:?}"),
                        None => assert!(reader.woken().await),
                    }
                }
            };
            assert_eq!(timeout(PATIENCE, received).await, Ok(round));
        }
        // The clock of tokio's timers counts whole milliseconds, rounded up.
        let late = start.elapsed().abs_diff(ROUND * u32::try_from(round).expect("it is small"));
        assert!(late <= Duration::from_millis(5), "round {round} came {late:?} off");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_wakes_the_readers_a_few_times_only() {
    let (feed, notifier) = Feed::keeping(FEW);
    let mut reader = feed.reader(feed.mark());
    tokio::spawn(notifier.run());
    let base = after_start(&feed, 0);
    let publishing = async {
        for more in 0..100 {
            publish(&feed, base + more);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut wakings = 0;
    let counting = async {
        while reader.woken().await {
            wakings += 1;
            drain(&mut reader);
        }
    };
    let _ = tokio::join!(publishing, timeout(Duration::from_millis(200), counting));
    assert!((2..=8).contains(&wakings), "{wakings} wakings for 100 changes");
    assert_eq!(reader.position(), 100, "and yet the last was delivered");
}

/// The check `name`, which depends on `on`.
fn behind(name: &str, on: &[&str]) -> Arc<CheckInfo> {
    let depends_on = on.iter().map(|name| (*name).into()).collect();
    Arc::new(CheckInfo { name: name.into(), depends_on, ..(*check()).clone() })
}

fn turn(feed: &Feed, check: &Arc<CheckInfo>, to: Status) {
    let id = after_start(feed, 0);
    feed.record(check, Event::Transition(&Transition { to, ..transition(id) }));
}

/// The events that are there for a subscriber once it was woken, in words.
async fn words(events: &mut Subscription) -> Vec<String> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = || events.next().now_or_never().flatten();
    std::iter::from_fn(next)
        .map(|event| match event.expect("nothing is missed") {
            HealthEvent::Check(change) => {
                let mut words = format!("{} {}", change.check.name, change.transition.to);
                if change.first {
                    words.push_str(" first");
                }
                if let Some(dependency) = change.suppressed_by {
                    words = format!("{words} by {dependency}");
                }
                if change.maintenance {
                    words.push_str(" in maintenance");
                }
                words
            }
            HealthEvent::Service(change) => {
                let first = if change.first { " first" } else { "" };
                format!("service {} to {}{first}", change.from, change.to)
            }
            HealthEvent::Maintenance(change) => {
                format!("{} maintenance {}", change.check.name, change.maintenance)
            }
            HealthEvent::Removed(check) => format!("{} removed", check.name),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_gets_events_of_the_service_and_of_checks_in_their_order() {
    let (feed, notifier) = Feed::keeping(FEW);
    tokio::spawn(notifier.run());
    let (db, vpn) = (behind("db", &["cache", "vpn"]), behind("vpn", &[]));
    let mut events = feed.subscribe();
    turn(&feed, &db, Status::Up);
    feed.service(ServiceStatus::Up, SystemTime::UNIX_EPOCH);
    turn(&feed, &vpn, Status::Down);
    turn(&feed, &db, Status::Down);
    feed.service(ServiceStatus::Down, SystemTime::UNIX_EPOCH);
    let heard = ["db up first", "service starting to up first", "vpn down first", "db down by vpn"];
    assert_eq!(words(&mut events).await, [&heard[..], &["service up to down"]].concat());
    feed.record(&db, Event::Maintenance(true));
    turn(&feed, &vpn, Status::Up);
    turn(&feed, &db, Status::Unknown);
    feed.record(&db, Event::Maintenance(false));
    turn(&feed, &db, Status::Up);
    let heard = ["db maintenance true", "vpn up", "db unknown in maintenance"];
    assert_eq!(words(&mut events).await, [&heard[..], &["db maintenance false", "db up"]].concat());
    feed.record(&db, Event::Removed);
    turn(&feed, &db, Status::Up);
    assert_eq!(words(&mut events).await, ["db removed", "db up first"], "it is another check");
}
