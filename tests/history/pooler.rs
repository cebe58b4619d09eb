//! A store behind `PgBouncer`, and one whose tables belong to another role.

use vitalsign::history::{IncidentFilter, Share};
use vitalsign::{History, HistoryOptions, Outcome};

use super::recorder::Recorder;
use super::store::PATIENT;
use crate::support::daemon::wait_for;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{PASSWORD, Postgres};

async fn open(url: &str) -> History {
    let options = HistoryOptions::new(url, "orders", "one").expect("a URL");
    History::open(options).await.expect("a history")
}

async fn changes(history: &History) -> Option<usize> {
    history.changes_after(0, 100).await.ok().map(|changes| changes.len())
}

#[tokio::test]
async fn a_store_behind_a_pooler_works_and_is_found_again() {
    for settings in [&[][..], &["pool_mode = transaction"], &["pool_mode = transaction", FEW]] {
        let Some(server) = Postgres::start().await else { return };
        let Some(pooler) = PgBouncer::start(&server, settings).await else { return };
        for life in 1..=3 {
            let history = open(&pooler.url()).await;
            let recorder = Recorder::of(&history, "database");
            recorder.turn(Outcome::Failure);
            recorder.turn(Outcome::Success);
            wait_for("the changes", async || changes(&history).await == Some(2 * life)).await;
            let all = IncidentFilter { limit: 9, ..IncidentFilter::default() };
            let incidents = history.incidents(&all).await.expect("a page").incidents;
            assert_eq!(incidents.len(), life, "{settings:?}");
            let (good, counted) = (life as u64, 2 * life as u64);
            assert_eq!(history.availability("database").hour, Share { good, counted });
            let days = history.days(2).await.expect("days");
            assert_eq!(days["database"].last().expect("today").share.counted, counted);
            history.close(PATIENT).await;
        }
        let log = pooler.log();
        assert!(!log.contains("already exists") && !log.contains("unsupported"), "{log}");
    }
}

/// Fewer sessions of the server than connections that the history has.
const FEW: &str = "default_pool_size = 1";

#[tokio::test]
async fn a_role_without_the_right_to_create_uses_tables_that_are_there() {
    let Some(server) = Postgres::start().await else { return };
    open(&server.url()).await.close(PATIENT).await;
    for sql in [
        "CREATE ROLE app LOGIN PASSWORD 'pg-Pa55word'",
        "REVOKE CREATE ON SCHEMA public FROM public",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app",
    ] {
        server.execute(sql).await;
    }
    let history = open(&server.url_of("app", PASSWORD, "postgres")).await;
    Recorder::of(&history, "database").turn(Outcome::Success);
    wait_for("the change", async || changes(&history).await == Some(1)).await;
    history.close(PATIENT).await;
}
