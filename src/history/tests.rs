//! The aggregates and the store together, over days that a test makes up.

use std::sync::{Arc, PoisonError};

use super::connection::Connection;
use super::options::HistoryOptions;
use super::record::Record;
use super::rollup::tests::ran;
use super::rollup::{HistoryRun, Millis, Width};
use super::shared::{Shared, now};
use super::write::{self, Batch, FlushReason};
use super::{load, schema};
use crate::model::{CheckInfo, Gates, Outcome, Reason, Status, Transition};

fn info(name: &str) -> Arc<CheckInfo> {
    Arc::new(CheckInfo {
        name: name.into(),
        kind: "function",
        description: None,
        gates: Gates::NONE,
        depends_on: Vec::new(),
        groups: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        interval: std::time::Duration::from_secs(10),
        timeout: std::time::Duration::from_secs(2),
        failure_threshold: 1,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: false,
        server: None,
    })
}

fn shared() -> Shared {
    Shared::new(HistoryOptions::in_memory("orders", "one"))
}

/// Folds `runs` of a check, in which nothing but runs happens, as if it were `at` then.
fn fold(
    shared: &Shared,
    info: &Arc<CheckInfo>,
    runs: impl Iterator<Item = HistoryRun>,
    at: Millis,
) {
    let records =
        runs.map(|ran| Record::Run { info: Arc::clone(info), ran, reason: reason(&ran) }).collect();
    shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner).fold(records, at);
}

/// What runs of these tests fail for.
fn reason(ran: &HistoryRun) -> Option<Reason> {
    match ran.outcome {
        Outcome::Timeout => Some(Reason::Timeout),
        Outcome::Failure => Some(Reason::ConnectionRefused),
        _ => None,
    }
}

async fn open(shared: &Shared) -> (Connection, i64) {
    let mut conn = Connection::connect(&shared.options.place).await.expect("memory");
    schema::migrate(&mut conn).await.expect("a schema");
    let instance = load::instance(&mut conn, "orders", "one", now()).await.expect("an instance");
    (conn, instance.id)
}

#[tokio::test]
async fn a_day_of_a_check_takes_less_than_the_pages_say() {
    const CHECKS: i64 = 10;
    let shared = shared();
    let (mut conn, instance) = open(&shared).await;
    let day = Width::Day.floor(now()) - Width::Day.millis();
    let checks: Vec<_> = (0..CHECKS).map(|i| info(&format!("check-{i}"))).collect();
    for hour in 0..24 {
        let start = day + hour * Width::Hour.millis();
        for ten_seconds in 0..360 {
            let at = start + ten_seconds * 10_000;
            for (i, check) in checks.iter().enumerate() {
                let micros = 3_000 + (ten_seconds.unsigned_abs() * 7_919 + i as u64 * 31) % 2_500;
                fold(
                    &shared,
                    check,
                    std::iter::once(HistoryRun { micros, ..ran(at, Outcome::Success) }),
                    at,
                );
            }
        }
        write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
    }
    let bytes = async |conn: &mut Connection, width: Width| {
        let sql = "DELETE FROM vitalsign_rollups WHERE width = $1";
        let before = conn.size().await.expect("its size");
        conn.execute(sql, &[width.millis().into()]).await.expect("to delete");
        conn.execute("VACUUM", &[]).await.expect("to vacuum");
        (before - conn.size().await.expect("its size")) / CHECKS
    };
    conn.execute("DELETE FROM vitalsign_runs", &[]).await.expect("to delete");
    conn.execute("VACUUM", &[]).await.expect("to vacuum");
    let minutes = bytes(&mut conn, Width::Minute).await;
    let hours = bytes(&mut conn, Width::Hour).await;
    assert!((1_000..70_000).contains(&minutes), "{minutes} bytes");
    assert!((100..2_500).contains(&hours), "{hours} bytes");
}

#[test]
fn a_minute_hour_or_day_that_is_over_waits_for_the_store_and_the_next_begins_empty() {
    let shared = shared();
    let database = info("database");
    let day = Width::Day.floor(now()) - 3 * Width::Day.millis();
    let last_second = day + Width::Day.millis() - 1_000;
    fold(&shared, &database, [ran(last_second, Outcome::Success)].into_iter(), last_second);
    let first_second = last_second + 2_000;
    fold(&shared, &database, [ran(first_second, Outcome::Failure)].into_iter(), first_second);
    let aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting: Vec<_> = aggregates.pending.rollups.keys().map(|(width, _)| *width).collect();
    assert_eq!(waiting, [Width::Minute, Width::Hour, Width::Day]);
    for rollups in aggregates.pending.rollups.values() {
        let counts = rollups["database"].counts;
        assert_eq!((counts.runs, counts.good, counts.worst), (1, 1, Some(Status::Up)));
    }
    let aggregate = &aggregates.of["database"];
    for counts in [aggregate.minute.counts, aggregate.hour.counts, aggregate.day] {
        assert_eq!((counts.runs, counts.good, counts.slo_counted), (1, 0, 1));
    }
}

#[test]
fn a_status_lasts_into_the_next_minute() {
    let shared = shared();
    let database = info("database");
    let start = Width::Minute.floor(now()) - Width::Hour.millis();
    fold(&shared, &database, [ran(start, Outcome::Failure)].into_iter(), start);
    let transition = |id, from, to, at| Record::Change {
        check: Arc::clone(&database.name),
        transition: Box::new(Transition {
            id,
            from,
            to,
            at: super::rollup::time(at),
            since: super::rollup::time(at),
            reason: Some(Reason::Other),
            message: None,
            trace: None,
        }),
    };
    let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    aggregates.fold(vec![transition(1, Status::Unknown, Status::Down, start)], start);
    let next = start + Width::Minute.millis();
    let run =
        Record::Run { info: Arc::clone(&database), ran: ran(next, Outcome::Success), reason: None };
    aggregates.fold(vec![run, transition(2, Status::Down, Status::Up, next)], next);
    assert_eq!(aggregates.of["database"].minute.counts.worst, Some(Status::Down));
    let later = next + Width::Minute.millis();
    let run = Record::Run {
        info: Arc::clone(&database),
        ran: ran(later, Outcome::Success),
        reason: None,
    };
    aggregates.fold(vec![run], later);
    assert_eq!(aggregates.of["database"].minute.counts.worst, Some(Status::Up));
}

#[test]
fn a_clock_that_is_set_back_a_little_is_waited_for_and_one_set_back_far_is_believed() {
    let shared = shared();
    let database = info("database");
    let start = Width::Hour.floor(now()) - 5 * Width::Hour.millis();
    let fold_at = |at| fold(&shared, &database, std::iter::once(ran(at, Outcome::Success)), at);
    let minute = || shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner).minute;
    fold_at(start);
    fold_at(start - 10 * Width::Minute.millis());
    assert_eq!(minute(), start);
    fold_at(start - 2 * Width::Hour.millis());
    assert_eq!(minute(), start - 2 * Width::Hour.millis());
}

#[tokio::test]
async fn what_happens_to_a_check_without_a_row_waits_until_it_has_one() {
    let shared = shared();
    let (mut conn, instance) = open(&shared).await;
    let run = |name: &str| {
        fold(&shared, &info(name), std::iter::once(ran(now(), Outcome::Success)), now());
    };
    run("early");
    write::register(&mut conn, &shared, instance).await.expect("a row");
    assert!(Batch::take(&shared, instance, FlushReason::Routine).is_some());
    run("late");
    assert!(Batch::take(&shared, instance, FlushReason::Routine).is_none());
    let written = write::flush(&mut conn, &shared, instance, FlushReason::Routine).await;
    assert_eq!(written.expect("written"), 2);
    let aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(aggregates.ids.contains_key("late") && aggregates.of["late"].raw.is_empty());
}

/// Records that a check was removed.
fn remove(shared: &Shared, info: &Arc<CheckInfo>, at: Millis) {
    let removed = Record::Removed { check: Arc::clone(&info.name), at };
    shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner).fold(vec![removed], at);
}

/// Names of checks that memory holds something of.
fn held(shared: &Shared) -> Vec<String> {
    let aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = aggregates.pending.checks();
    let names = aggregates.of.keys().chain(aggregates.ids.keys()).chain(&waiting);
    let mut names: Vec<String> = names.map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test]
async fn a_check_that_is_removed_costs_no_memory_and_its_rows_stay() {
    let shared = shared();
    let (mut conn, instance) = open(&shared).await;
    let stays = info("stays");
    for round in 0..60 {
        let checks: Vec<_> = (0..500).map(|n| info(&format!("round-{round}-{n}"))).collect();
        for check in checks.iter().chain([&stays]) {
            fold(&shared, check, std::iter::once(ran(now(), Outcome::Success)), now());
        }
        // Some are removed before anything of them is written.
        if round % 2 == 0 {
            write::flush(&mut conn, &shared, instance, FlushReason::Routine)
                .await
                .expect("a flush");
        }
        for check in &checks {
            remove(&shared, check, now());
        }
        write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
        assert_eq!(held(&shared), ["stays"], "round {round}");
    }
    let rows = conn.fetch("SELECT count(*) FROM vitalsign_checks", &[]).await.expect("a count");
    assert_eq!(rows[0].int(0).expect("a number"), 30_001);
    let sql = "SELECT count(*) FROM vitalsign_rollups WHERE width = $1 AND runs = 1";
    let rows = conn.fetch(sql, &[Width::Day.millis().into()]).await.expect("a count");
    assert_eq!(rows[0].int(0).expect("a number"), 30_000);
}

#[tokio::test]
async fn a_check_that_comes_back_finds_its_past() {
    let shared = shared();
    let (mut conn, instance) = open(&shared).await;
    let database = info("database");
    // Hours, and minutes of the current hour, apart.
    let minute = Width::Minute.floor(now()) - 2 * Width::Hour.millis();
    let minute = minute.max(Width::Day.floor(now()));
    let times = [minute, minute + 1_000, now(), now()];
    for at in times {
        fold(&shared, &database, std::iter::once(ran(at, Outcome::Success)), at);
        remove(&shared, &database, at);
        write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
        assert_eq!(held(&shared), Vec::<String>::new(), "{at}");
    }
    fold(&shared, &database, std::iter::once(ran(now(), Outcome::Failure)), now());
    write::register(&mut conn, &shared, instance).await.expect("its past");
    let availability = shared.aggregates().availability("database", now());
    assert_eq!((availability.day.good, availability.day.counted), (4, 5));
    assert_eq!((availability.week.good, availability.week.counted), (4, 5));
    remove(&shared, &database, now());
    write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
    for width in [Width::Minute, Width::Hour, Width::Day] {
        let sql = "SELECT sum(runs), sum(good) FROM vitalsign_rollups WHERE width = $1";
        let rows = conn.fetch(sql, &[width.millis().into()]).await.expect("sums");
        let sums = (rows[0].int(0).expect("runs"), rows[0].int(1).expect("good"));
        assert_eq!(sums, (5, 4), "{width:?}");
    }
}

#[tokio::test]
async fn statements_for_many_rows_do_not_stay_prepared() {
    let shared = shared();
    let (mut conn, instance) = open(&shared).await;
    let mut prepared = Vec::new();
    for count in 20..40 {
        let checks: Vec<_> = (0..count).map(|n| info(&format!("round-{count}-{n}"))).collect();
        for check in &checks {
            fold(&shared, check, std::iter::once(ran(now(), Outcome::Success)), now());
        }
        write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
        for check in &checks {
            remove(&shared, check, now());
        }
        write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
        prepared.push(conn.prepared());
    }
    // Each text of its own would stay: a few for each round. Those of a few rows may.
    assert!(prepared[19] <= prepared[2] + 4, "{prepared:?}");
}

/// The reasons that the store has of `width`, each row as it stands there.
async fn stored_reasons(conn: &mut Connection, width: Width) -> Vec<String> {
    let sql = "SELECT reasons FROM vitalsign_reasons WHERE width = $1 ORDER BY start";
    let rows = conn.fetch(sql, &[width.millis().into()]).await.expect("rows");
    rows.iter().map(|row| row.text(0).expect("a text")).collect()
}

#[tokio::test]
async fn reasons_of_failed_runs_are_written_and_successes_leave_no_row() {
    let shared = shared();
    let (mut conn, instance) = open(&shared).await;
    let (database, cache) = (info("database"), info("cache"));
    let hour = Width::Hour.floor(now()) - Width::Hour.millis();
    let outcomes = [Outcome::Failure, Outcome::Success, Outcome::Failure, Outcome::Timeout];
    let runs = (0..).zip(outcomes).map(|(i, outcome)| ran(hour + i * 1_000, outcome));
    fold(&shared, &database, runs, hour);
    fold(
        &shared,
        &cache,
        [ran(hour, Outcome::Unknown), ran(hour, Outcome::Success)].into_iter(),
        hour,
    );
    // The minute has not ended: what is known of it is written all the same.
    for _ in 0..2 {
        write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
        let rows = stored_reasons(&mut conn, Width::Minute).await;
        assert_eq!(rows, ["timeout 1,connection_refused 2"]);
    }
    let later = hour + Width::Hour.millis();
    fold(&shared, &database, [ran(later, Outcome::Timeout)].into_iter(), later);
    write::flush(&mut conn, &shared, instance, FlushReason::Routine).await.expect("a flush");
    let minutes = stored_reasons(&mut conn, Width::Minute).await;
    assert_eq!(minutes, ["timeout 1,connection_refused 2", "timeout 1"]);
    assert_eq!(stored_reasons(&mut conn, Width::Hour).await, ["timeout 1,connection_refused 2"]);
    assert_eq!(stored_reasons(&mut conn, Width::Day).await, Vec::<String>::new());
}

#[tokio::test]
async fn reasons_of_the_hour_that_has_not_ended_are_found_after_a_crash() {
    let before = shared();
    let (mut conn, instance) = open(&before).await;
    let database = info("database");
    let at = now();
    let held = Transition {
        id: 1,
        from: Status::Unknown,
        to: Status::Down,
        at: super::rollup::time(at),
        since: super::rollup::time(at),
        reason: Some(Reason::Timeout),
        message: None,
        trace: None,
    };
    let change = Record::Change { check: Arc::clone(&database.name), transition: Box::new(held) };
    before.aggregates.lock().unwrap_or_else(PoisonError::into_inner).fold(vec![change], at);
    fold(
        &before,
        &database,
        [Outcome::Timeout, Outcome::Failure].map(|o| ran(at, o)).into_iter(),
        at,
    );
    write::flush(&mut conn, &before, instance, FlushReason::Routine).await.expect("a flush");
    // What failed after that is lost with the process.
    fold(&before, &database, [ran(at, Outcome::Timeout)].into_iter(), at);

    // The second crash loses nothing either.
    for crash in 0..2 {
        let after = shared();
        let known = load::instance(&mut conn, "orders", "one", now()).await.expect("an instance");
        load::load(&mut conn, &after, &known, now()).await.expect("its past");
        let encoded = {
            let aggregates = after.aggregates();
            let mut hours = aggregates.of["database"].hour.reasons.clone();
            // A test that begins at the end of an hour finds it ended.
            let ended =
                aggregates.pending.rollups.iter().filter(|((width, _), _)| *width == Width::Hour);
            ended.for_each(|(_, rollups)| hours.merge(&rollups["database"].reasons));
            hours.encode()
        };
        assert_eq!(encoded, "timeout 1,connection_refused 1", "{crash}");
        write::flush(&mut conn, &after, instance, FlushReason::Routine).await.expect("a flush");
        let minutes = stored_reasons(&mut conn, Width::Minute).await;
        assert_eq!(minutes, ["timeout 1,connection_refused 1"], "{crash}");
    }
}
