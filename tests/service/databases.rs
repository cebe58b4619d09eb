//! A real database that is stopped, frozen, and comes back.

use std::time::Duration;

use crate::support::mariadb::MariaDb;
use crate::support::postgres::Postgres;
use crate::support::service::Service;

const UP: &str = r#"{"status":"up","database":"up"}"#;
const DOWN: &str = r#"{"status":"down","database":"down"}"#;

async fn checking(kind: &str, url: &str) -> Service {
    let config = format!(
        r#"
        [defaults]
        interval = "500ms"
        timeout = "200ms"
        [checks.database]
        kind = "{kind}"
        url = "{url}"
        "#
    );
    Service::start(&config).await
}

#[tokio::test]
async fn readiness_follows_postgres_when_it_is_stopped_and_when_it_is_frozen() {
    let Some(mut postgres) = Postgres::start().await else { return };
    let service = checking("postgres", &postgres.url()).await;
    service.ready_is(200, UP).await;

    postgres.stop().await;
    service.ready_is(503, DOWN).await;
    let run = service.status().await["checks"]["database"]["last_run"].clone();
    assert_eq!(run["reason"], "connection_refused", "{run}");
    postgres.restart().await;
    service.ready_is(200, UP).await;

    postgres.freeze();
    service.ready_is(503, DOWN).await;
    let run = service.status().await["checks"]["database"]["last_run"].clone();
    assert_eq!(run["reason"], "timeout", "{run}");
    let took = run["duration_seconds"].as_f64().expect("a duration");
    assert!(took >= Duration::from_millis(200).as_secs_f64(), "{run}");
    postgres.thaw();
    service.ready_is(200, UP).await;
    let transitions = service.get("/metrics").await.body;
    let line = r#"health_check_transitions_total{check="database",kind="postgres",to="down"} 2"#;
    assert!(transitions.contains(line), "{transitions}");
}

#[tokio::test]
async fn readiness_follows_mariadb() {
    let Some(mut mariadb) = MariaDb::start().await else { return };
    let service = checking("mysql", &mariadb.url()).await;
    service.ready_is(200, UP).await;
    mariadb.stop().await;
    service.ready_is(503, DOWN).await;
    mariadb.restart().await;
    service.ready_is(200, UP).await;
}

#[tokio::test]
async fn the_embedded_default_follows_database_url() {
    let Some(postgres) = Postgres::start().await else { return };
    let url = postgres.url();
    let service = Service::start_with("", |command| {
        command.env("DATABASE_URL", &url);
    })
    .await;
    service.ready_is(200, UP).await;
    assert_eq!(service.status().await["checks"]["database"]["kind"], "postgres");
}
