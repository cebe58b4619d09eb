//! Postgres behind `PgBouncer`.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vitalsign::{Detail, Reason};

use super::{PLENTY, ask, assert_failed, check, failure};
use crate::support::daemon::wait_for;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{PASSWORD, Postgres};

fn of(url: &str, more: &str) -> std::sync::Arc<dyn vitalsign::Check> {
    check("postgres", &format!("url = {url:?}\n{more}"))
}

#[tokio::test]
async fn what_a_pooler_refuses_gets_the_reason_that_it_is() {
    let Some(server) = Postgres::start().await else { return };
    let Some(pooler) = PgBouncer::start(&server, &["max_client_conn = 1"]).await else { return };
    let wrong = failure(&*of(&pooler.url_of("not-the-Pa55word", "app"), ""), PLENTY).await;
    assert_failed(&wrong, Reason::AuthFailed, "authentication failed", "not-the-Pa55word");
    let missing = failure(&*of(&pooler.url_of(PASSWORD, "none"), ""), PLENTY).await;
    assert_failed(&missing, Reason::QueryFailed, "none", PASSWORD);

    // A client that asks for TLS and stays takes the only place.
    let place = TcpStream::connect(("127.0.0.1", pooler.port())).await;
    let mut place = place.expect("to connect");
    place.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await.expect("to ask for TLS");
    let check = of(&pooler.url(), "");
    wait_for("the place to be taken", async || ask(&*check, PLENTY).await.is_err()).await;
    let full = failure(&*check, PLENTY).await;
    assert_failed(&full, Reason::Overloaded, "no more connections allowed", PASSWORD);
}

#[tokio::test]
async fn the_console_of_a_pooler_is_asked_as_written() {
    let Some(server) = Postgres::start().await else { return };
    let Some(pooler) = PgBouncer::start(&server, &[]).await else { return };
    let console = pooler.url_of(PASSWORD, "pgbouncer");
    let version = of(&console, "query = 'SHOW VERSION'\nexpect.rows = 1");
    assert_eq!(ask(&*version, PLENTY).await, Ok(Detail::ok()));
    let unknown = failure(&*of(&console, ""), PLENTY).await;
    assert_failed(&unknown, Reason::QueryFailed, "SHOW HELP", PASSWORD);
}

#[tokio::test]
async fn a_limit_on_statements_that_a_pooler_refuses_is_asked_for_once() {
    let Some(server) = Postgres::start().await else { return };
    let Some(pooler) = PgBouncer::start(&server, &["pool_mode = transaction"]).await else {
        return;
    };
    let check = of(&pooler.url(), "query = 'SELECT generate_series(1, 3)'\nexpect.rows = 3");
    for _ in 0..3 {
        assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()));
    }
    let refusals = "closing because: unsupported startup parameter";
    assert_eq!(pooler.log().matches(refusals).count(), 1, "{}", pooler.log());
}

#[tokio::test]
async fn a_query_that_refuses_a_transaction_is_sent_without_one() {
    let Some(server) = Postgres::start().await else { return };
    let Some(pooler) = PgBouncer::start(&server, &[]).await else { return };
    for url in [server.url(), pooler.url()] {
        for (query, rows) in [("VACUUM pg_class", 0), ("SHOW server_version", 1), ("SELECT 1;", 1)]
        {
            let check = of(&url, &format!("query = {query:?}\nexpect.rows = {rows}"));
            assert_eq!(ask(&*check, PLENTY).await, Ok(Detail::ok()), "{query}");
        }
    }
}
