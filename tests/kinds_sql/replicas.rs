//! What replicas say of their lag.

use std::sync::Arc;

use vitalsign::{Check, Detail, Reason};

use super::{PLENTY, ask, assert_failed, check, failure};
use crate::support::daemon::wait_for;
use crate::support::mariadb::{self, MariaDb};
use crate::support::postgres::{PASSWORD, Postgres};

const STRICT: &str = "max_replication_lag = '1m'";
const LENIENT: &str = "warn_replication_lag = '1m'";

fn of(kind: &str, url: &str, more: &str) -> Arc<dyn Check> {
    check(kind, &format!("url = {url:?}\n{more}"))
}

async fn mariadb(settings: &[&str]) -> Option<MariaDb> {
    let server = MariaDb::start_with(settings).await?;
    server.execute("GRANT REPLICA MONITOR ON *.* TO 'app'@'%'").await;
    Some(server)
}

#[tokio::test]
async fn a_mariadb_replica_with_named_connections_is_judged_by_all_of_them() {
    let Some(replica) = mariadb(&["server-id=2", "gtid-domain-id=2"]).await else { return };
    let Some(source) = mariadb(&["server-id=1", "log-bin=log"]).await else { return };
    source.execute("GRANT REPLICATION SLAVE ON *.* TO 'app'@'%'").await;
    let user = format!("master_user = 'app', master_password = '{}'", mariadb::PASSWORD);
    let follow = async |name: &str, port: u16| {
        let to = format!("master_host = '127.0.0.1', master_port = {port}, {user}");
        replica.execute(&format!("CHANGE MASTER '{name}' TO {to}")).await;
        replica.execute(&format!("START SLAVE '{name}'")).await;
    };
    follow("m1", source.port()).await;
    let strict = of("mysql", &replica.url(), STRICT);
    wait_for("the replica to follow", async || ask(&*strict, PLENTY).await == Ok(Detail::ok()))
        .await;

    // One of two that cannot be reached, one that was stopped, and a source that is gone.
    follow("m2", 9).await;
    let broken = failure(&*strict, PLENTY).await;
    assert_failed(&broken, Reason::OutOfRange, "not running: `m2` (I/O thread", PASSWORD);
    let warned = ask(&*of("mysql", &replica.url(), LENIENT), PLENTY).await.expect("a warning");
    assert!(format!("{warned:?}").contains("`m2`"), "{warned:?}");
    replica.execute("STOP SLAVE 'm1'").await;
    let stopped = failure(&*strict, PLENTY).await;
    assert_failed(&stopped, Reason::OutOfRange, "`m1` (I/O thread No, SQL thread No)", PASSWORD);
    assert!(stopped.message().contains("`m2`"), "{}", stopped.message());
}

#[tokio::test]
async fn a_postgres_replica_that_replayed_nothing_fails_without_a_primary_and_is_level_with_one() {
    let Some(mut primary) = Postgres::start().await else { return };
    let replica = primary.standby().await;
    primary.kill();
    let strict = of("postgres", &replica.url(), STRICT);
    let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
    wait_for("the loss to show", async || replica.number(receivers).await == 0).await;
    let lost = failure(&*strict, PLENTY).await;
    assert_failed(&lost, Reason::OutOfRange, "never replayed a transaction", PASSWORD);
    let warned = ask(&*of("postgres", &replica.url(), LENIENT), PLENTY).await.expect("a warning");
    assert!(format!("{warned:?}").contains("never replayed"), "{warned:?}");

    primary.restart().await;
    primary.execute("CREATE TABLE t ()").await;
    wait_for("it to be level", async || ask(&*strict, PLENTY).await == Ok(Detail::ok())).await;
}

#[tokio::test]
async fn a_replica_of_a_replica_that_is_cut_off_does_not_pass_for_level() {
    let Some(mut primary) = Postgres::start().await else { return };
    let middle = primary.standby().await;
    let last = middle.standby().await;
    primary.execute(&format!("CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}'")).await;
    let bounds = "max_replication_lag = '5s'";
    let seeing = of("postgres", &last.url(), bounds);
    // Without the role pg_read_all_stats.
    let plain = of("postgres", &last.url_of("plain", PASSWORD, "postgres"), bounds);
    for check in [&seeing, &plain] {
        wait_for("it to be level", async || ask(&**check, PLENTY).await == Ok(Detail::ok())).await;
    }
    primary.kill();
    let silent = async |check: &Arc<dyn Check>| {
        let verdict = ask(&**check, PLENTY).await;
        format!("{verdict:?}").contains("the replica that it follows is cut off")
    };
    wait_for("the silence to be noticed", async || silent(&seeing).await).await;
    wait_for("it to be noticed without the right to see", async || silent(&plain).await).await;
    let lax = of("postgres", &last.url(), "max_replication_lag = '1h'");
    assert_eq!(ask(&*lax, PLENTY).await, Ok(Detail::ok()), "it lags by less for certain");

    primary.restart().await;
    primary.execute("CREATE TABLE t ()").await;
    wait_for("it to be level", async || ask(&*seeing, PLENTY).await == Ok(Detail::ok())).await;
}
