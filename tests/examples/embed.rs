//! `examples/embed.rs` over a real Postgres that is killed, frozen and used up.

use serde_json::Value;

use crate::support::daemon::wait_for;
use crate::support::example::Example;
use crate::support::http::Client;
use crate::support::postgres::Postgres;

const UP: &str = r#"{"status":"up","database":"up"}"#;
const DOWN: &str = r#"{"status":"down","database":"down"}"#;

/// A server with the table that the example counts, and the example over it, ready.
async fn orders() -> Option<(Postgres, Example)> {
    let server = Postgres::start().await?;
    server.execute("CREATE TABLE orders (id int)").await;
    let example = Example::start("embed", &[("DATABASE_URL", &server.url())]);
    example.ready_is(200, UP).await;
    Some((server, example))
}

/// Waits until the last run failed for `reason`, and returns the check.
async fn fails_for(example: &Example, reason: &str) -> Value {
    let mut check = Value::Null;
    wait_for(&format!("a run to fail for {reason}"), async || {
        check = example.status().await["checks"]["database"].take();
        check["last_run"]["reason"] == reason
    })
    .await;
    check
}

#[test]
fn it_fits_on_a_page_of_forty_lines() {
    let text = include_str!("../../examples/embed.rs");
    assert!(text.lines().count() <= 40, "it has {} lines", text.lines().count());
}

#[tokio::test]
async fn a_database_that_is_killed_refuses_and_comes_back() {
    let Some((mut server, example)) = orders().await else { return };
    assert_eq!(example.get("/orders").await.body, "0 orders\n");
    server.kill();
    example.ready_is(503, DOWN).await;
    let check = fails_for(&example, "connection_refused").await;
    assert_eq!(check["status"], "down");
    assert_eq!(example.get("/health").await.status, 200, "it is no failure of the process");
    server.restart().await;
    example.ready_is(200, UP).await;
}

#[tokio::test]
async fn a_database_that_is_frozen_times_out() {
    let Some((server, example)) = orders().await else { return };
    server.freeze();
    example.ready_is(503, DOWN).await;
    fails_for(&example, "timeout").await;
    server.thaw();
    example.ready_is(200, UP).await;
}

#[tokio::test]
async fn a_pool_that_is_used_up_is_overloaded() {
    let Some((server, example)) = orders().await else { return };
    let mut locks = server.connect().await.expect("to connect");
    for sql in ["BEGIN", "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"] {
        sqlx::raw_sql(sql).execute(&mut locks).await.expect("to lock");
    }
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(example.address).await;
        client.send("GET /orders HTTP/1.1\r\nhost: test\r\n\r\n").await;
        waiting.push(client);
    }
    example.ready_is(503, DOWN).await;
    let check = fails_for(&example, "overloaded").await;
    let measured = &check["measurements"];
    assert_eq!(measured["pool_max_connections"], 5.0, "{check}");
    assert_eq!(measured["pool_in_use_connections"], 5.0, "{check}");
    assert_eq!(measured["pool_idle_connections"], 0.0, "{check}");
    let metrics = example.get("/metrics").await.body;
    let series = "health_check_pool_in_use_connections{check=\"database\",kind=\"postgres\"} 5\n";
    assert!(metrics.contains(series), "{metrics}");

    sqlx::raw_sql("ROLLBACK").execute(&mut locks).await.expect("to let go");
    for client in &mut waiting {
        assert_eq!(client.answer().await.expect("an answer").body, "0 orders\n");
    }
    example.ready_is(200, UP).await;
}

#[tokio::test]
async fn it_drains_before_it_stops() {
    let Some((_server, example)) = orders().await else { return };
    example.terminate();
    example.ready_is(503, r#"{"status":"draining","database":"up"}"#).await;
    assert_eq!(example.get("/orders").await.body, "0 orders\n", "it serves on meanwhile");
    assert!(example.ended().await.success());
}
