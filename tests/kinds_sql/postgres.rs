//! The `postgres` kind.

use sqlx::postgres::PgPoolOptions;
use vitalsign::checks::postgres::pool;
use vitalsign::{Check, Detail, Reason};

use super::peers::{Manner, Peer};
use super::{LONGER, PLENTY, SHORT, ask, assert_failed, check, failure, refused};
use crate::support::daemon::{free_port, wait_for};
use crate::support::postgres::{PASSWORD, Postgres, USER};

fn of(url: &str, more: &str) -> std::sync::Arc<dyn Check> {
    check("postgres", &format!("url = {url:?}\n{more}"))
}

#[tokio::test]
async fn a_healthy_server_answers_and_the_connection_is_gone() {
    let Some(server) = Postgres::start().await else { return };
    let check = of(&server.url(), "");
    assert_eq!(check.kind(), "postgres");
    let asked = check.server().expect("an address");
    assert_eq!((asked.address.as_str(), asked.port), ("127.0.0.1", Some(server.port())));
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    wait_for("the session to end", async || server.sessions("").await == 0).await;
}

#[tokio::test]
async fn a_socket_is_asked_by_its_directory() {
    let Some(server) = Postgres::start().await else { return };
    let dir = server.socket_dir().display().to_string();
    let check = of(&format!("postgres:///?host={dir}&port={}&user={USER}", server.port()), "");
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    let asked = check.server().expect("an address");
    assert_eq!((asked.address, asked.port), (dir, None));
}

#[tokio::test]
async fn a_stopped_server_refuses_and_a_frozen_one_times_out() {
    let Some(mut server) = Postgres::start().await else { return };
    let check = of(&server.url(), "");
    server.freeze();
    assert_failed(&failure(&*check, SHORT).await, Reason::Timeout, "", PASSWORD);
    server.thaw();
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    server.stop().await;
    let refused = failure(&*check, PLENTY).await;
    let place = format!("connect to 127.0.0.1:{}: ", server.port());
    assert_failed(&refused, Reason::ConnectionRefused, &place, PASSWORD);
}

#[tokio::test]
async fn a_server_that_is_out_of_connections_is_overloaded() {
    let settings = ["max_connections=2", "superuser_reserved_connections=0", "max_wal_senders=0"];
    let Some(server) = Postgres::start_with(&settings, &[]).await else { return };
    let _one = server.connect().await.expect("the one connection");
    let _other = loop {
        // The readiness probe's own session may still be ending.
        if let Ok(conn) = server.connect().await {
            break conn;
        }
    };
    let full = failure(&*of(&server.url(), ""), PLENTY).await;
    assert_failed(&full, Reason::Overloaded, "too many clients", PASSWORD);
}

#[tokio::test]
async fn wrong_credentials_and_names_are_told_without_the_password() {
    let Some(server) = Postgres::start().await else { return };
    let wrong = of(&server.url_of(USER, "not-the-Pa55word", "postgres"), "");
    let refused = failure(&*wrong, PLENTY).await;
    assert_failed(&refused, Reason::AuthFailed, "authentication failed", "not-the-Pa55word");

    let nowhere = of(&server.url_of(USER, PASSWORD, "nowhere"), "");
    let missing = failure(&*nowhere, PLENTY).await;
    assert_failed(&missing, Reason::QueryFailed, "\"nowhere\" does not exist", PASSWORD);
}

#[tokio::test]
async fn what_a_server_says_never_holds_the_password() {
    let Some(server) = Postgres::start().await else { return };
    let echo = format!("query = \"SELECT '{PASSWORD}'::int\"");
    let echoed = failure(&*of(&server.url(), &echo), PLENTY).await;
    assert_failed(&echoed, Reason::QueryFailed, "\"[secret]\"", PASSWORD);
}

#[tokio::test]
async fn a_query_must_work_and_return_the_rows_expected() {
    let Some(server) = Postgres::start().await else { return };
    let rows = |query: &str, rows: u32| {
        of(&server.url(), &format!("query = {query:?}\nexpect.rows = {rows}"))
    };
    let three = "SELECT generate_series(1, 3)";
    assert_eq!(ask(&*rows(three, 3), PLENTY).await, Ok(Detail::ok()));
    assert_eq!(ask(&*rows("SELECT 1 WHERE false", 0), PLENTY).await, Ok(Detail::ok()));
    let other = failure(&*rows(three, 2), PLENTY).await;
    assert_failed(&other, Reason::UnexpectedBody, "returned 3 rows instead of 2", PASSWORD);
    let broken = failure(&*of(&server.url(), "query = 'SELECT * FROM nothing'"), PLENTY).await;
    assert_failed(&broken, Reason::QueryFailed, "\"nothing\" does not exist", PASSWORD);
    let endless = "SELECT generate_series(1, 1000000000)";
    let endless = failure(&*of(&server.url(), &format!("query = {endless:?}")), PLENTY).await;
    assert_failed(&endless, Reason::TooLarge, "more than 10000 rows", PASSWORD);
    wait_for("the sessions to end", async || server.sessions("").await == 0).await;
}

#[tokio::test]
async fn a_cancelled_query_is_given_up_by_the_server_too() {
    let Some(server) = Postgres::start().await else { return };
    let slow = of(&server.url(), "query = 'SELECT pg_sleep(3600)'");
    let late = failure(&*slow, SHORT).await;
    assert_failed(&late, Reason::Timeout, "", PASSWORD);
    wait_for("the session to end", async || server.sessions("pg_sleep").await == 0).await;
}

#[tokio::test]
async fn a_kept_connection_serves_again_and_is_replaced_when_it_broke() {
    let Some(mut server) = Postgres::start().await else { return };
    let pid = "query = 'SELECT set_config($$application_name$$, $$kept$$, false)'\nreuse = true";
    let check = of(&server.url(), pid);
    let started = "SELECT extract(epoch FROM backend_start) * 1000000 FROM pg_stat_activity \
                   WHERE application_name = 'kept'";
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    let first = server.number(started).await;
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    assert_eq!(server.number(started).await, first, "the same session");

    server.stop().await;
    server.restart().await;
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    assert!(server.number(started).await > first, "another session");

    server.stop().await;
    let refused = failure(&*check, PLENTY).await;
    assert_failed(&refused, Reason::ConnectionRefused, "connect to", PASSWORD);
}

#[tokio::test]
async fn a_failed_query_costs_a_kept_connection_nothing() {
    let Some(server) = Postgres::start().await else { return };
    let check = of(&server.url(), "query = 'SELECT * FROM late'\nreuse = true");
    assert_eq!(failure(&*check, PLENTY).await.reason(), Reason::QueryFailed);
    assert_eq!(server.sessions("late").await, 1);
    server.execute("CREATE TABLE late ()").await;
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    assert_eq!(server.sessions("late").await, 1);
}

#[tokio::test]
async fn a_replica_is_judged_by_its_lag_and_a_primary_has_none() {
    let Some(primary) = Postgres::start().await else { return };
    let bounds = "warn_replication_lag = '100ms'\nmax_replication_lag = '1h'";
    assert_eq!(ask(&*of(&primary.url(), bounds), PLENTY).await, Ok(Detail::ok()));

    let replica = primary.standby().await;
    primary.execute("CREATE TABLE t ()").await;
    let replayed = "SELECT count(*) FROM pg_tables WHERE tablename = 't'";
    wait_for("the replica to replay", async || replica.number(replayed).await == 1).await;
    let lax = of(&replica.url(), bounds);
    wait_for("it to be caught up", async || ask(&*lax, PLENTY).await == Ok(Detail::ok())).await;

    replica.execute("SELECT pg_wal_replay_pause()").await;
    primary.execute("DROP TABLE t").await;
    wait_for("the replica to lag", async || {
        let verdict = ask(&*lax, PLENTY).await.expect("a lag below the upper bound");
        format!("{verdict:?}").contains("the replica lags by")
    })
    .await;
    let strict = of(&replica.url(), "max_replication_lag = '1ms'");
    let behind = failure(&*strict, PLENTY).await;
    assert_failed(&behind, Reason::OutOfRange, "more than 1ms", PASSWORD);
    assert_eq!(ask(&*of(&replica.url(), ""), PLENTY).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_replica_that_lost_its_primary_does_not_pass_for_caught_up() {
    let Some(mut primary) = Postgres::start().await else { return };
    let replica = primary.standby().await;
    // What it hears of is how far its primary is.
    primary.execute("CREATE TABLE t ()").await;
    let strict = of(&replica.url(), "max_replication_lag = '1ms'");
    wait_for("the replica to stream", async || ask(&*strict, PLENTY).await.is_ok()).await;
    primary.kill();
    wait_for("the loss to show", async || ask(&*strict, PLENTY).await.is_err()).await;
    assert_eq!(failure(&*strict, PLENTY).await.reason(), Reason::OutOfRange);
}

#[tokio::test]
async fn a_server_that_starts_up_does_not_serve() {
    let settings = ["hot_standby=off"];
    let Some(primary) = Postgres::start_with(&settings, &[]).await else { return };
    let replica = primary.standby_without_queries();
    let check = of(&replica.url(), "");
    wait_for("it to answer that it does not serve", async || {
        failure(&*check, PLENTY).await.reason() == Reason::NotServing
    })
    .await;
}

#[tokio::test]
async fn peers_that_do_not_speak_it_are_told_apart() {
    let url = |peer: &Peer, mode| {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/x?sslmode={mode}", peer.port)
    };
    for mode in ["disable", "prefer"] {
        for manner in [Manner::Close, Manner::Say(b"")] {
            let peer = Peer::that(manner).await;
            let closed = failure(&*of(&url(&peer, mode), ""), PLENTY).await;
            assert_failed(&closed, Reason::ConnectionReset, "connect to 127.0.0.1", PASSWORD);
        }

        for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\x01\x00\x00\x00\x00\x00"] {
            let peer = Peer::that(Manner::Say(garbage)).await;
            let garbage = failure(&*of(&url(&peer, mode), ""), PLENTY).await;
            assert_failed(&garbage, Reason::Protocol, "connect to 127.0.0.1", PASSWORD);
        }

        // Without TLS the same bytes announce an answer of 1 MB that never gets there.
        for manner in [Manner::Silent, Manner::Trickle(b"NR\x00\x0f\xff")] {
            let mut peer = Peer::that(manner).await;
            let slow = failure(&*of(&url(&peer, mode), ""), SHORT).await;
            assert_failed(&slow, Reason::Timeout, "", PASSWORD);
            peer.freed().await;
        }
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told() {
    // `.invalid` never resolves (RFC 6761); without any resolver the look-up itself fails.
    let check = of(&format!("postgres://{USER}:{PASSWORD}@db.invalid/x"), "");
    let unknown = failure(&*check, PLENTY).await;
    assert!(matches!(unknown.reason(), Reason::DnsNotFound | Reason::DnsFailed), "{unknown:?}");
    assert_failed(&unknown, unknown.reason(), "connect to db.invalid:5432", PASSWORD);
}

#[tokio::test]
async fn wrong_options_are_told_by_name_and_without_the_url() {
    let url = format!("url = 'postgres://app:{PASSWORD}@db/x'");
    for (options, path) in [
        (String::new(), ""),
        (format!("url = 'mysql://app:{PASSWORD}@db/x'"), "url"),
        (format!("url = 'app:{PASSWORD}@db'"), "url"),
        (format!("{url}\nquery = ' '"), "query"),
        (format!("{url}\nexpect.rows = 10001"), "expect.rows"),
        (format!("{url}\nexpect.rows = -1"), "expect.rows"),
        (format!("{url}\nexpect.columns = 1"), "expect"),
        (format!("{url}\ntls.server_name = 'db'"), "tls.server_name"),
        (format!("{url}\nmax_replication_lag = '5'"), "max_replication_lag"),
        (format!("{url}\nreuses = true"), "reuses"),
    ] {
        let errors = refused("postgres", &options);
        assert!(errors[0].path.starts_with(path), "{options}: {errors:?}");
        assert!(!format!("{errors:?}").contains(PASSWORD), "{errors:?}");
    }
    let both = refused("postgres", "url = 'x'\nquery = ''");
    assert_eq!(both.len(), 2, "{both:?}");
}

#[tokio::test]
async fn a_pool_answers_and_an_exhausted_one_is_overloaded() {
    let Some(mut server) = Postgres::start().await else { return };
    let options = PgPoolOptions::new().max_connections(1);
    let own = options.connect(&server.url()).await.expect("a pool");
    let check = pool(own.clone());
    assert_eq!(check.server().expect("an address").port, Some(server.port()));
    assert_eq!(ask(&check, PLENTY).await, Ok(Detail::ok()));

    let taken = own.acquire().await.expect("the only connection");
    let full = failure(&check, LONGER).await;
    assert_failed(&full, Reason::Overloaded, "all 1 connections are in use", PASSWORD);
    drop(taken);
    assert_eq!(ask(&check, PLENTY).await, Ok(Detail::ok()));

    server.stop().await;
    let refused = failure(&check, SHORT).await;
    assert_failed(&refused, Reason::ConnectionRefused, "connect", PASSWORD);
    own.close().await;
    let closed = failure(&check, PLENTY).await;
    assert_failed(&closed, Reason::NotServing, "closed its pool", PASSWORD);
}

#[tokio::test]
async fn a_pool_whose_server_is_frozen_times_out() {
    let Some(server) = Postgres::start().await else { return };
    let own = PgPoolOptions::new().max_connections(2).connect(&server.url()).await;
    let check = pool(own.expect("a pool"));
    server.freeze();
    let frozen = failure(&check, SHORT).await;
    assert_failed(&frozen, Reason::Timeout, "", PASSWORD);
}

#[tokio::test]
async fn a_frozen_server_is_the_cause_of_the_pool_that_it_exhausts() {
    let Some(server) = Postgres::start().await else { return };
    let own = PgPoolOptions::new().max_connections(1).connect(&server.url()).await.expect("a pool");
    let _stuck = own.acquire().await.expect("the only connection");
    server.freeze();
    let frozen = failure(&pool(own.clone()), SHORT).await;
    assert_failed(&frozen, Reason::Timeout, "all 1 connections are in use", PASSWORD);
    assert_failed(&frozen, Reason::Timeout, "did not answer a new one", PASSWORD);
}

#[tokio::test]
async fn nothing_listens_and_ipv6_is_written_in_brackets() {
    let url = format!("postgres://{USER}:{PASSWORD}@[::1]:{}/x", free_port());
    let check = of(&url, "");
    assert_eq!(check.server().expect("an address").address, "::1");
    let refused = failure(&*check, PLENTY).await;
    // Without IPv6 the address cannot be had at all.
    let wanted = [Reason::ConnectionRefused, Reason::LocalResource, Reason::Unreachable];
    assert!(wanted.contains(&refused.reason()), "{refused:?}");
    assert_failed(&refused, refused.reason(), "connect to [::1]:", PASSWORD);
}
