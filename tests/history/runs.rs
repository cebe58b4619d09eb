//! Runs: availability, steps and days.

use std::time::{Duration, SystemTime};

use vitalsign::history::{Availability, Share};
use vitalsign::{Health, History, Outcome, Reason, Status, every};

use super::recorder::{DURATION, Recorder};
use super::store::{PATIENT, Store};
use crate::support::daemon::wait_for;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Fourteen runs, of which ten of twelve that count are good.
fn fourteen_runs(recorder: &Recorder) {
    recorder.turn(Outcome::Success);
    (0..9).for_each(|_| recorder.run(Outcome::Success));
    recorder.run(Outcome::Failure);
    recorder.run(Outcome::Timeout);
    recorder.run(Outcome::Unknown);
    recorder.run_in(Outcome::Failure, true);
}

async fn steps_sum(history: &History, from: SystemTime, step: Duration) -> (u64, u64, Share) {
    let to = SystemTime::now() + Duration::from_secs(1);
    let steps = history.steps("database", from, to, step).await.expect("steps");
    steps.iter().fold((0, 0, Share::default()), |(runs, good, share), step| {
        let counted = share.counted + step.share.counted;
        (runs + step.runs, good + step.good, Share { good: share.good + step.share.good, counted })
    })
}

#[tokio::test]
async fn runs_count_at_once_and_after_a_restart() {
    for store in Store::each().await {
        let from = SystemTime::now() - Duration::from_millis(500);
        let history = store.open().await;
        assert_eq!(history.availability("database"), Availability::default());
        fourteen_runs(&Recorder::of(&history, "database"));
        let share = Share { good: 10, counted: 12 };
        let all = Availability { hour: share, day: share, week: share, month: share };
        for restart in ["at once", "after a restart", "after another"] {
            // The second restart finds what the first one loaded.
            let again = if restart == "at once" { history.clone() } else { store.open().await };
            assert_eq!(again.availability("database"), all, "{store:?} {restart}");
            for step in [Duration::from_secs(1), MINUTE, HOUR, 24 * HOUR] {
                let sum = steps_sum(&again, from, step).await;
                assert_eq!(sum, (14, 10, share), "{store:?} {restart}, steps of {step:?}");
            }
            let days = again.days(3).await.expect("days");
            let days = &days["database"];
            assert_eq!(days.len(), 3);
            assert_eq!(days[2].share, share, "{store:?} {restart}");
            // The status stayed up through the failed runs.
            assert_eq!((days[2].worst, days[1].worst), (Some(Status::Up), None));
            again.close(PATIENT).await;
        }
    }
}

/// Every reason that steps say, added up.
async fn reasons(history: &History, from: SystemTime, step: Duration) -> Vec<(Reason, u64)> {
    let steps = history.steps("database", from, SystemTime::now() + step, step).await;
    let mut sums = std::collections::BTreeMap::new();
    for (reason, runs) in steps.expect("steps").into_iter().flat_map(|step| step.reasons) {
        *sums.entry(reason).or_default() += runs;
    }
    sums.into_iter().collect()
}

#[tokio::test]
async fn reasons_of_failed_runs_are_known_at_once_and_after_a_restart() {
    for store in Store::each().await {
        let from = SystemTime::now() - Duration::from_millis(500);
        let history = store.open().await;
        let recorder = Recorder::of(&history, "database");
        recorder.turn(Outcome::Success);
        assert_eq!(reasons(&history, from, MINUTE).await, []);
        for outcome in [Outcome::Failure, Outcome::Unknown, Outcome::Failure, Outcome::Success] {
            recorder.run(outcome);
        }
        let failed = [(Reason::ConnectionRefused, 2)];
        for restart in ["at once", "after a restart", "after another"] {
            let again = if restart == "at once" { history.clone() } else { store.open().await };
            for step in [Duration::from_secs(1), MINUTE, HOUR, 24 * HOUR] {
                let known = reasons(&again, from, step).await;
                assert_eq!(known, failed, "{store:?} {restart}, steps of {step:?}");
            }
            again.close(PATIENT).await;
        }
        // An observed call fails like a run.
        let history = store.open().await;
        let health = Health::builder("orders")
            .check(
                "database",
                every(Duration::from_hours(1))
                    .from_fn(|| std::future::ready(Ok::<_, vitalsign::Failure>(()))),
            )
            .history(history.clone())
            .build()
            .expect("a plan");
        wait_for("its first run", async || health.ready()).await;
        let observer = health.observe("database").expect("it is known");
        observer.failure(Reason::Timeout, DURATION);
        let both = [(Reason::Timeout, 1), (Reason::ConnectionRefused, 2)];
        wait_for("the call", async || reasons(&history, from, MINUTE).await == both).await;
        drop(health);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn a_version_that_knew_no_reasons_left_a_store_that_is_taken_over() {
    for store in Store::each().await {
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Failure);
        history.close(PATIENT).await;
        // As that version left it.
        for table in ["vitalsign_reasons", "vitalsign_heartbeats"] {
            store.execute(&format!("DROP TABLE {table}")).await;
        }
        let from = SystemTime::now() - Duration::from_millis(500);
        let history = store.open().await;
        assert_eq!(history.availability("database").hour.counted, 1, "{store:?}");
        Recorder::of(&history, "database").run(Outcome::Failure);
        let known = reasons(&history, from, HOUR).await;
        assert_eq!(known, [(Reason::ConnectionRefused, 1)], "{store:?}");
        history.close(PATIENT).await;
        // And it takes it back: the schema has the number that it knows.
        let newest = store.number("SELECT max(version) FROM vitalsign_migrations").await;
        assert_eq!(newest, 1, "{store:?}");
    }
}

#[tokio::test]
async fn steps_tell_how_long_runs_took_and_are_there_without_runs_too() {
    for store in Store::each().await {
        let history = store.open().await;
        fourteen_runs(&Recorder::of(&history, "database"));
        let now = SystemTime::now();
        let from = now - 10 * MINUTE;
        let steps = history.steps("database", from, now + MINUTE, MINUTE).await.expect("steps");
        assert_eq!(steps.len(), 11);
        assert_eq!(steps[0].at, from - submillis(from));
        assert_eq!((steps[0].runs, steps[0].p50, steps[0].worst), (0, None, None));
        let with_runs: Vec<_> = steps.iter().filter(|s| s.runs > 0).collect();
        for step in with_runs {
            let (p50, max) = (step.p50.expect("runs"), step.max.expect("runs"));
            assert!(p50.as_secs_f64() / DURATION.as_secs_f64() > 0.97, "{p50:?}");
            assert_eq!(max, DURATION);
            assert!(p50 <= max && step.p95.expect("runs") <= max);
            assert_eq!(step.worst, Some(Status::Up));
        }
        let nobody = history.steps("nobody", from, now, MINUTE).await.expect("steps");
        assert_eq!((nobody.len(), nobody.iter().map(|s| s.runs).sum::<u64>()), (10, 0));
        assert_eq!(history.steps("database", now, from, MINUTE).await, Ok(vec![]));
        history.close(PATIENT).await;
    }
}

/// What a store cuts off, for it counts in milliseconds.
fn submillis(at: SystemTime) -> Duration {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000))
}

#[tokio::test]
async fn what_was_rolled_up_long_ago_is_found_by_hour_and_day() {
    for store in Store::each().await {
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Success);
        history.close(PATIENT).await;
        let hour = 3_600_000;
        let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_millis());
        let now = now.expect("a few more years");
        let this_day = now - now % (24 * hour);
        let start = this_day - 5 * 24 * hour;
        // Five days ago: an hour of 360 runs of about 3.9 ms, 6 of them failed, and its day.
        let sketch = match &store {
            Store::Server(_) => r"'\x01cf01e802'",
            Store::File(_) | Store::At(_) => "X'01cf01e802'",
        };
        for width in [hour, 24 * hour] {
            store
                .execute(&format!(
                    "INSERT INTO vitalsign_rollups SELECT instance_id, {width}, {start}, id, 360, \
                     354, 354, 360, 9000, 3, {sketch} FROM vitalsign_checks"
                ))
                .await;
        }
        let history = store.open().await;
        let ago = |days: u32| SystemTime::now() - days * 24 * HOUR;
        let steps = history.steps("database", ago(6), ago(4), 6 * HOUR).await.expect("steps");
        let found: Vec<_> = steps.iter().filter(|s| s.runs > 0).collect();
        assert_eq!((found.len(), found[0].runs, found[0].good), (1, 360, 354), "{store:?}");
        assert_eq!(found[0].max, Some(Duration::from_millis(9)));
        let median = found[0].p50.expect("a median").as_micros();
        assert!((3_800..4_000).contains(&median), "{store:?}: {median}");
        let days = history.days(90).await.expect("days");
        assert_eq!(days["database"][84].share, Share { good: 354, counted: 360 });
        assert_eq!(days["database"][84].worst, Some(Status::Down));
        assert_eq!(days["database"][89].share, Share { good: 1, counted: 1 });
        let availability = history.availability("database");
        assert_eq!(availability.day, Share { good: 1, counted: 1 });
        assert_eq!(availability.week, Share { good: 355, counted: 361 });
        assert_eq!(availability.month, availability.week);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn instances_in_one_store_keep_to_themselves() {
    for store in Store::each().await {
        let (one, two) = tokio::join!(store.open_as("one"), store.open_as("two"));
        let (first, second) = (Recorder::of(&one, "database"), Recorder::of(&two, "database"));
        first.turn(Outcome::Success);
        second.turn(Outcome::Failure);
        second.run(Outcome::Failure);
        let shares = |h: &History| h.availability("database").month;
        assert_eq!(shares(&one), Share { good: 1, counted: 1 });
        one.close(PATIENT).await;
        two.close(PATIENT).await;
        let (one, two) = tokio::join!(store.open_as("one"), store.open_as("two"));
        assert_eq!(shares(&one), Share { good: 1, counted: 1 }, "{store:?}");
        assert_eq!(shares(&two), Share { good: 0, counted: 2 }, "{store:?}");
        let all = vitalsign::history::IncidentFilter { limit: 10, ..Default::default() };
        assert_eq!(one.incidents(&all).await.expect("a page").incidents, []);
        assert_eq!(two.incidents(&all).await.expect("a page").incidents.len(), 1);
        one.close(PATIENT).await;
        two.close(PATIENT).await;
    }
}
