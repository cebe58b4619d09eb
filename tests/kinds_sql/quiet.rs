//! What a healthy server records about a check that asks it again and again: nothing.

use vitalsign::Detail;

use super::{PLENTY, ask, check};
use crate::support::mariadb::MariaDb;
use crate::support::postgres::Postgres;

const RUNS: usize = 1_000;

#[tokio::test]
async fn postgres_logs_nothing_against_a_check() {
    let Some(server) = Postgres::start().await else { return };
    let before = server.log();
    let check = check("postgres", &format!("url = {:?}\nmax_replication_lag = '1m'", server.url()));
    for _ in 0..RUNS {
        assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    }
    let log = server.log();
    let new = log.strip_prefix(&before).unwrap_or(&log);
    let against = |line: &&str| {
        line.contains("FATAL") || line.contains("ERROR") || line.contains("unexpected")
    };
    assert_eq!(new.lines().filter(against).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test]
async fn mariadb_counts_nothing_against_a_check() {
    let Some(server) = MariaDb::start().await else { return };
    server.execute("GRANT REPLICA MONITOR ON *.* TO 'app'@'%'").await;
    let check = check("mysql", &format!("url = {:?}\nmax_replication_lag = '1m'", server.url()));
    let counters = async || {
        let mut found = Vec::new();
        for counter in ["Aborted_clients", "Aborted_connects", "Aborted_connects_preauth"] {
            found.push((counter, server.status(counter).await));
        }
        found
    };
    let before = counters().await;
    for _ in 0..RUNS {
        assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    }
    assert_eq!(counters().await, before);
}
