//! The schema of a store, and what is deleted from it.

use std::time::Duration;

use vitalsign::{History, HistoryError, Outcome};

use super::recorder::Recorder;
use super::store::{PATIENT, Store};
use crate::support::daemon::wait_for;

const TABLES: [&str; 6] = [
    "vitalsign_changes",
    "vitalsign_incidents",
    "vitalsign_runs",
    "vitalsign_rollups",
    "vitalsign_checks",
    "vitalsign_instances",
];

#[tokio::test]
async fn a_schema_that_a_newer_version_made_is_refused_and_left_alone() {
    for store in Store::each().await {
        store.open().await.close(PATIENT).await;
        let newer = "INSERT INTO vitalsign_migrations (version, description, success, checksum, \
                     execution_time) SELECT 9001, 'newer', success, checksum, 0 \
                     FROM vitalsign_migrations WHERE version = 1";
        store.execute(newer).await;
        let error = History::open(store.options("one")).await.expect_err("it is refused");
        let HistoryError::Newer { found, known } = &error else { panic!("{store:?}: {error}") };
        assert_eq!((*found, *known), (9001, 1));
        assert!(error.to_string().contains("9001"), "{error}");
        assert_eq!(store.number("SELECT count(*) FROM vitalsign_instances").await, 1);
    }
}

#[tokio::test]
async fn what_was_kept_for_long_enough_is_deleted() {
    for store in Store::each().await {
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Success);
        history.close(PATIENT).await;
        let day = 86_400_000_i64;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_millis();
        let now = i64::try_from(now).expect("a few more years");
        let old = |days: i64| now - now % day - days * day;
        for (width, days) in
            [(60_000, 3), (60_000, 1), (3_600_000, 9), (day, 410), (day, 390), (day, 5)]
        {
            store
                .execute(&format!(
                    "INSERT INTO vitalsign_rollups SELECT instance_id, {width}, {}, id, 1, 1, 1, \
                     1, 1, 0, '' FROM vitalsign_checks",
                    old(days)
                ))
                .await;
        }
        for (id, days, end) in [(1, 9, old(9) + 1), (2, 9, now), (3, 2, now)] {
            store
                .execute(&format!(
                    "INSERT INTO vitalsign_incidents SELECT instance_id, {id}, id, {}, {end}, \
                     'down', NULL, NULL, NULL FROM vitalsign_checks",
                    old(days)
                ))
                .await;
            store
                .execute(&format!(
                    "INSERT INTO vitalsign_changes SELECT instance_id, {id}, id, {}, 'up', \
                     'down', NULL, NULL, NULL FROM vitalsign_checks",
                    old(days)
                ))
                .await;
        }
        // Left by an instance that is no more.
        store
            .execute(
                "INSERT INTO vitalsign_instances (service, instance, rolled_up_to) \
                      VALUES ('orders', 'gone', 0)",
            )
            .await;
        store
            .execute(
                "INSERT INTO vitalsign_checks (instance_id, name, seen) \
                      SELECT id, 'old', 0 FROM vitalsign_instances WHERE instance = 'gone'",
            )
            .await;
        store
            .execute(&format!(
                "INSERT INTO vitalsign_rollups SELECT instance_id, {day}, {}, id, 1, 1, 1, 1, 1, 0, \
                 '' FROM vitalsign_checks WHERE name = 'old'",
                old(20)
            ))
            .await;
        let options = store.options("one").retention(Duration::from_hours(7 * 24));
        let history = History::open(options).await.expect("a history");
        let left = async |sql: &str| store.number(&format!("SELECT count(*) FROM {sql}")).await;
        wait_for("the old to be deleted", async || {
            left("vitalsign_instances").await == 1
                && left("vitalsign_changes WHERE id < 9").await == 1
        })
        .await;
        let rollups = format!("vitalsign_rollups WHERE start < {}", old(0));
        assert_eq!(left(&rollups).await, 3, "{store:?}");
        assert_eq!(left("vitalsign_rollups WHERE width = 3600000 AND runs = 1").await, 0);
        // Days are kept for longer than the 7 that everything else is.
        let days = format!("vitalsign_rollups WHERE width = {day} AND start <= {}", old(390));
        assert_eq!(left(&days).await, 1, "{store:?}");
        assert_eq!(left("vitalsign_incidents").await, 2, "{store:?}");
        assert_eq!(left("vitalsign_checks").await, 1, "{store:?}");
        let orphans = "vitalsign_rollups WHERE instance_id NOT IN \
                       (SELECT id FROM vitalsign_instances)";
        assert_eq!(left(orphans).await, 0, "{store:?}");
        assert_eq!(history.availability("database").hour.counted, 1);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn tables_that_were_dropped_are_made_anew_unless_some_are_left() {
    for store in Store::each().await {
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Success);
        history.close(PATIENT).await;
        for table in TABLES {
            store.execute(&format!("DROP TABLE {table}")).await;
        }
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Failure);
        wait_for("the change", async || {
            history.changes_after(0, 9).await.is_ok_and(|changes| changes.len() == 1)
        })
        .await;
        history.close(PATIENT).await;
        let applied = store.number("SELECT count(*) FROM vitalsign_migrations").await;
        assert_eq!(applied, 1, "{store:?}");

        store.execute("DROP TABLE vitalsign_runs").await;
        let history = store.open().await;
        Recorder::of(&history, "database").turn(Outcome::Success);
        assert!(history.changes_after(0, 9).await.is_err(), "{store:?}");
        assert_eq!(store.number("SELECT count(*) FROM vitalsign_changes").await, 1, "{store:?}");
        history.close(PATIENT).await;
    }
}
