//! What a host's real calls say, against real servers: answers are no failures of the dependency.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use redis::AsyncCommands;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use vitalsign::{Failure, Health, Observer, Outcome, Reason, Status, every, secs};

use crate::support::postgres::Postgres;
use crate::support::redis::Redis;

/// A check that is asked once, and its observer.
async fn observed() -> (Health, Observer) {
    let check = every(secs(3600)).from_fn(|| async { Ok::<_, Failure>(()) });
    let health = Health::builder("orders").check("db", check).build().expect("a health");
    while !health.ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let observer = health.observe("db").expect("a check");
    (health, observer)
}

fn last(health: &Health) -> (Status, Outcome, Option<Reason>) {
    let check = health.state().check("db").expect("a check");
    let run = check.last_run.expect("a run");
    (check.status, run.outcome, run.reason)
}

async fn pool(url: &str) -> PgPool {
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_millis(500));
    options.connect(url).await.expect("a pool")
}

#[tokio::test]
async fn rows_that_are_not_found_leave_the_service_ready_and_a_server_that_is_gone_does_not() {
    let Some(mut server) = Postgres::start().await else { return };
    let pool = pool(&server.url()).await;
    sqlx::raw_sql("CREATE TABLE books (id int PRIMARY KEY)").execute(&pool).await.expect("a table");
    let (health, db) = observed().await;
    let find = || sqlx::query_scalar::<_, i32>("SELECT id FROM books WHERE id = 7");
    for _ in 0..4 {
        db.call(find().fetch_one(&pool)).await.expect_err("no row");
        assert_eq!(last(&health), (Status::Up, Outcome::Success, None));
    }
    sqlx::raw_sql("INSERT INTO books VALUES (1)").execute(&pool).await.expect("a row");
    for sql in ["INSERT INTO books VALUES (1)", "SELECT * FROM films", "SELECT 1 / 0", "SELEC"] {
        db.call(sqlx::raw_sql(sql).execute(&pool)).await.expect_err("it is refused");
        assert_eq!(last(&health), (Status::Up, Outcome::Success, None), "{sql}");
    }
    let slow = "SET statement_timeout = 20; SELECT pg_sleep(9)";
    db.call(sqlx::raw_sql(slow).execute(&pool)).await.expect_err("it takes too long");
    assert_eq!(last(&health).2, Some(Reason::Timeout));
    server.kill();
    for _ in 0..3 {
        db.call(find().fetch_one(&pool)).await.expect_err("no server");
    }
    let (status, outcome, reason) = last(&health);
    assert_eq!((status, outcome.is_failed()), (Status::Down, true), "{reason:?}");
    assert!(!health.ready());
}

#[tokio::test]
async fn a_key_of_another_type_is_an_answer_of_redis() {
    let Some(mut server) = Redis::start().await else { return };
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(1))
        .set_response_timeout(Some(Duration::from_secs(2)));
    let client = redis::Client::open(server.url()).expect("a URL");
    let connection = ConnectionManager::new_lazy_with_config(client, config).expect("a connection");
    let (health, db) = observed().await;
    let mut own = connection.clone();
    let _: () = own.set("title", "emma").await.expect("it is set");
    let mut own = connection.clone();
    db.call(own.lpush::<_, _, ()>("title", 1)).await.expect_err("of another type");
    assert_eq!(last(&health), (Status::Up, Outcome::Success, None));
    let mut own = connection.clone();
    db.call(own.get::<_, i64>("nothing")).await.expect_err("nil is no number");
    assert_eq!(last(&health), (Status::Up, Outcome::Success, None));
    server.kill();
    let mut own = connection.clone();
    db.call(own.get::<_, String>("title")).await.expect_err("no server");
    let (_, outcome, reason) = last(&health);
    let gone = [Some(Reason::ConnectionReset), Some(Reason::ConnectionRefused)];
    assert!(outcome == Outcome::Failure && gone.contains(&reason), "{outcome} {reason:?}");
}

#[tokio::test]
async fn a_4xx_is_an_answer_of_http_and_a_5xx_is_none() {
    let answer = |status: StatusCode| get(move || async move { (status, "no JSON") });
    let app = Router::new()
        .route("/missing", answer(StatusCode::NOT_FOUND))
        .route("/busy", answer(StatusCode::TOO_MANY_REQUESTS))
        .route("/text", answer(StatusCode::OK))
        .route("/broken", answer(StatusCode::BAD_GATEWAY));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = super::reqwest::builder().build().expect("a client");
    let (health, db) = observed().await;
    for (path, wanted) in [
        ("missing", None),
        ("busy", None),
        ("text", None),
        ("broken", Some(Reason::UnexpectedStatus)),
    ] {
        let url = format!("http://{place}/{path}?key=s3cret");
        let call = async {
            client.get(url).send().await?.error_for_status()?.json::<serde_json::Value>().await
        };
        db.call(call).await.expect_err("no JSON");
        assert_eq!(last(&health).2, wanted, "{path}");
    }
    let message = health.state().check("db").and_then(|check| check.last_run?.message.clone());
    assert!(!message.expect("a message").contains("s3cret"));
    server.abort();
    let _ = server.await;
    let gone = client.get(format!("http://{place}/missing")).send();
    db.call(gone).await.expect_err("nobody listens");
    let reasons = [Some(Reason::ConnectionRefused), Some(Reason::ConnectionReset)];
    assert!(reasons.contains(&last(&health).2), "{:?}", last(&health));
}
