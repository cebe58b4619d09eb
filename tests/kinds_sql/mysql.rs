//! The `mysql` kind, against MariaDB.

use sqlx::mysql::MySqlPoolOptions;
use vitalsign::checks::mysql::pool;
use vitalsign::{Check, Detail, Reason};

use super::peers::{Manner, Peer};
use super::{LONGER, PLENTY, SHORT, ask, assert_failed, check, failure, refused};
use crate::support::daemon::wait_for;
use crate::support::mariadb::{MariaDb, PASSWORD, USER};

fn of(url: &str, more: &str) -> std::sync::Arc<dyn Check> {
    check("mysql", &format!("url = {url:?}\n{more}"))
}

#[tokio::test]
async fn a_healthy_server_answers_and_the_connection_is_gone() {
    let Some(server) = MariaDb::start().await else { return };
    for url in [server.url(), server.url().replace("mysql:", "mariadb:")] {
        let check = of(&url, "");
        assert_eq!(check.kind(), "mysql");
        let asked = check.server().expect("an address");
        assert_eq!((asked.address.as_str(), asked.port), ("127.0.0.1", Some(server.port())));
        assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    }
    wait_for("the sessions to end", async || server.sessions().await == 0).await;
}

#[tokio::test]
async fn a_stopped_server_refuses_and_a_frozen_one_times_out() {
    let Some(mut server) = MariaDb::start().await else { return };
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
    let Some(server) = MariaDb::start_with(&["max-connections=10"]).await else { return };
    server.execute("ALTER USER 'app'@'%' WITH MAX_USER_CONNECTIONS 1").await;
    let kept = of(&server.url(), "reuse = true");
    assert_eq!(ask(&*kept, PLENTY).await, Ok(Detail::ok()));
    let full = failure(&*of(&server.url(), ""), PLENTY).await;
    assert_failed(&full, Reason::Overloaded, "max_user_connections", PASSWORD);
    drop(kept);

    server.execute("ALTER USER 'app'@'%' WITH MAX_USER_CONNECTIONS 0").await;
    let mut all = Vec::new();
    while let Ok(conn) = server.connect().await {
        all.push(conn);
    }
    let full = failure(&*of(&server.url(), ""), PLENTY).await;
    assert_failed(&full, Reason::Overloaded, "Too many connections", PASSWORD);
}

#[tokio::test]
async fn wrong_credentials_and_names_are_told_without_the_password() {
    let Some(server) = MariaDb::start().await else { return };
    let wrong = of(&server.url_of(USER, "not-the-Pa55word", "app"), "");
    let refused = failure(&*wrong, PLENTY).await;
    assert_failed(&refused, Reason::AuthFailed, "Access denied", "not-the-Pa55word");

    server.execute("GRANT ALL ON *.* TO 'app'@'%'").await;
    let missing = failure(&*of(&server.url_of(USER, PASSWORD, "nowhere"), ""), PLENTY).await;
    assert_failed(&missing, Reason::QueryFailed, "Unknown database 'nowhere'", PASSWORD);

    let echo = format!("query = \"SELECT {PASSWORD}.x\"");
    let echoed = failure(&*of(&server.url(), &echo), PLENTY).await;
    assert_failed(&echoed, Reason::QueryFailed, "query: ", PASSWORD);
}

#[tokio::test]
async fn a_query_must_work_and_return_the_rows_expected() {
    let Some(server) = MariaDb::start().await else { return };
    let rows = |query: &str, rows: u32| {
        of(&server.url(), &format!("query = {query:?}\nexpect.rows = {rows}"))
    };
    let three = "SELECT seq FROM seq_1_to_3";
    assert_eq!(ask(&*rows(three, 3), PLENTY).await, Ok(Detail::ok()));
    assert_eq!(ask(&*rows("SELECT 1 LIMIT 0", 0), PLENTY).await, Ok(Detail::ok()));
    let other = failure(&*rows(three, 2), PLENTY).await;
    assert_failed(&other, Reason::UnexpectedBody, "returned 3 rows instead of 2", PASSWORD);
    let broken = failure(&*of(&server.url(), "query = 'SELECT * FROM nothing'"), PLENTY).await;
    assert_failed(&broken, Reason::QueryFailed, "'app.nothing' doesn't exist", PASSWORD);
    let endless = of(&server.url(), "query = 'SELECT seq FROM seq_1_to_1000000000'");
    let endless = failure(&*endless, PLENTY).await;
    assert_failed(&endless, Reason::TooLarge, "more than 10000 rows", PASSWORD);
    wait_for("the sessions to end", async || server.sessions().await == 0).await;
}

#[tokio::test]
async fn a_cancelled_query_is_given_up_by_the_server_too() {
    let Some(server) = MariaDb::start().await else { return };
    // A sleep would notice that its client is gone; work does not.
    let slow = "SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b";
    let late = failure(&*of(&server.url(), &format!("query = {slow:?}")), SHORT).await;
    assert_failed(&late, Reason::Timeout, "", PASSWORD);
    wait_for("the session to end", async || server.sessions().await == 0).await;
}

#[tokio::test]
async fn a_kept_connection_serves_again_and_is_replaced_when_it_broke() {
    let Some(mut server) = MariaDb::start().await else { return };
    let check = of(&server.url(), "reuse = true");
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    assert_eq!(server.sessions().await, 1);
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    assert_eq!(server.sessions().await, 1);

    server.kill();
    server.restart().await;
    assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    assert_eq!(server.sessions().await, 1);

    server.stop().await;
    let refused = failure(&*check, PLENTY).await;
    assert_failed(&refused, Reason::ConnectionRefused, "connect to", PASSWORD);
}

#[tokio::test]
async fn the_lag_is_asked_of_replicas_alone_and_one_that_stopped_is_out_of_range() {
    let Some(server) = MariaDb::start_with(&["server-id=2"]).await else { return };
    let strict = of(&server.url(), "max_replication_lag = '5s'");
    let denied = failure(&*strict, PLENTY).await;
    assert_failed(&denied, Reason::QueryFailed, "replication lag: ", PASSWORD);

    server.execute("GRANT REPLICA MONITOR ON *.* TO 'app'@'%'").await;
    assert_eq!(ask(&*strict, PLENTY).await, Ok(Detail::ok()));

    server.execute("CHANGE MASTER TO master_host = '127.0.0.1', master_user = 'nobody'").await;
    let stopped = failure(&*strict, PLENTY).await;
    assert_failed(&stopped, Reason::OutOfRange, "replication is not running", PASSWORD);
    let lenient = of(&server.url(), "warn_replication_lag = '5s'");
    let warned = ask(&*lenient, PLENTY).await.expect("a warning");
    assert!(format!("{warned:?}").contains("replication is not running"), "{warned:?}");
}

#[tokio::test]
async fn peers_that_do_not_speak_it_are_told_apart() {
    let of = |peer: &Peer| of(&format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/x", peer.port), "");
    for manner in [Manner::Close, Manner::Say(b"")] {
        let closed = failure(&*of(&Peer::that(manner).await), PLENTY).await;
        assert_failed(&closed, Reason::ConnectionReset, "connect to 127.0.0.1", PASSWORD);
    }

    // Another protocol, an empty packet, and a greeting that is cut short within its packet.
    let garbage: [&[u8]; 3] =
        [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x00", b"\x03\x00\x00\x00\x0a5\x00"];
    for garbage in garbage {
        let garbage = failure(&*of(&Peer::that(Manner::Say(garbage)).await), PLENTY).await;
        assert_failed(&garbage, Reason::Protocol, "connect to 127.0.0.1", PASSWORD);
    }

    for manner in [Manner::Silent, Manner::Trickle(b"\xff\xff\x00\x00")] {
        let mut peer = Peer::that(manner).await;
        let slow = failure(&*of(&peer), SHORT).await;
        assert_failed(&slow, Reason::Timeout, "", PASSWORD);
        peer.freed().await;
    }
}

#[tokio::test]
async fn wrong_options_are_told_by_name_and_without_the_url() {
    let url = format!("url = 'mysql://app:{PASSWORD}@db/x'");
    for (options, path) in [
        (format!("url = 'postgres://app:{PASSWORD}@db/x'"), "url"),
        (format!("url = 'mysql://app:{PASSWORD}@db/x?ssl-mode={PASSWORD}'"), "url"),
        (format!("{url}\ntls = {{ cert = 'c.pem' }}"), "tls.cert"),
        (format!("{url}\nwarn_replication_lag = '0s'"), "warn_replication_lag"),
    ] {
        let errors = refused("mysql", &options);
        assert!(errors[0].path.starts_with(path), "{options}: {errors:?}");
        assert!(!format!("{errors:?}").contains(PASSWORD), "{errors:?}");
    }
}

#[tokio::test]
async fn a_pool_answers_and_an_exhausted_one_is_overloaded() {
    let Some(server) = MariaDb::start().await else { return };
    let options = MySqlPoolOptions::new().max_connections(1);
    let own = options.connect(&server.url()).await.expect("a pool");
    let check = pool(own.clone());
    assert_eq!(ask(&check, PLENTY).await, Ok(Detail::ok()));
    let taken = own.acquire().await.expect("the only connection");
    let full = failure(&check, LONGER).await;
    assert_failed(&full, Reason::Overloaded, "all 1 connections are in use", PASSWORD);
    drop(taken);
    assert_eq!(ask(&check, PLENTY).await, Ok(Detail::ok()));
}
