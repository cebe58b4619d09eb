//! A check of a host's own connection to Redis, against Redis.

use std::time::Duration;

use opentelemetry::trace::Status;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use vitalsign::checks::redis::manager;
use vitalsign::{Check, Detail, Failure, Reason};

use crate::support::checks::{PATIENT, ask};
use crate::support::daemon::wait_for;
use crate::support::redis::Redis;
use crate::support::spans::{Spans, attribute, events};

const PASSWORD: &str = "redis-Pa55word";

/// A host's connection, which gives up soon when it cannot reconnect.
fn connection(url: &str) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(1))
        .set_connection_timeout(Some(PATIENT))
        .set_response_timeout(Some(PATIENT));
    let client = redis::Client::open(url).expect("a URL");
    ConnectionManager::new_lazy_with_config(client, config).expect("a manager")
}

async fn failed(check: &dyn Check) -> Failure {
    ask(check, PATIENT).await.expect_err("the run fails")
}

#[tokio::test]
async fn a_server_answers_over_the_connection_of_the_host() {
    let Some(server) = Redis::start().await else { return };
    let own = connection(&server.url());
    let check = manager(own.clone());
    assert_eq!(check.kind(), "redis");
    let (spans, _guard) = Spans::record();
    assert_eq!(ask(&check, PATIENT).await, Ok(Detail::ok()));
    let span = spans.only();
    assert_eq!((&*span.name, &span.status), ("PING", &Status::Unset));
    assert_eq!(events(&span), ["request"]);
    assert_eq!(attribute(&span, "db.system.name").as_deref(), Some("redis"));
    assert_eq!(attribute(&span, "db.operation.name").as_deref(), Some("PING"));
    let id = async |mut own: ConnectionManager| -> u64 {
        redis::cmd("CLIENT").arg("ID").query_async(&mut own).await.expect("an id")
    };
    let before = id(own.clone()).await;
    assert_eq!(ask(&check, PATIENT).await, Ok(Detail::ok()));
    assert_eq!(id(own).await, before, "it opens none of its own");
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_noticed() {
    let Some(mut server) = Redis::start().await else { return };
    let check = manager(connection(&server.url()));
    assert_eq!(ask(&check, PATIENT).await, Ok(Detail::ok()));
    server.kill();
    let first = failed(&check).await;
    let wanted = [Reason::ConnectionReset, Reason::ConnectionRefused];
    assert!(wanted.contains(&first.reason()), "{first:?}");
    wait_for("nothing to listen", async || {
        failed(&check).await.reason() == Reason::ConnectionRefused
    })
    .await;
    server.restart(&[]).await;
    wait_for("it to be back", async || ask(&check, PATIENT).await.is_ok()).await;
}

#[tokio::test]
async fn a_frozen_server_times_out_by_the_clients_limit_or_the_checks() {
    let Some(server) = Redis::start().await else { return };
    let client = redis::Client::open(server.url()).expect("a URL");
    let limit =
        ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_millis(200)));
    let quick = client.get_connection_manager_with_config(limit).await.expect("it answers");
    let checks = [manager(quick), manager(connection(&server.url()))];
    let [by_client, by_check] = &checks;
    assert_eq!(ask(by_check, PATIENT).await, Ok(Detail::ok()));
    server.freeze();
    assert_eq!(failed(by_client).await.reason(), Reason::Timeout);
    let late = ask(by_check, Duration::from_millis(300)).await.expect_err("it is frozen");
    assert_eq!(late.reason(), Reason::Timeout);
    server.thaw();
    for check in &checks {
        wait_for("it to answer again", async || ask(check, PATIENT).await.is_ok()).await;
    }
}

#[tokio::test]
async fn missing_and_wrong_credentials_are_kept_apart_from_other_refusals() {
    let required = format!("requirepass {PASSWORD}");
    let Some(server) = Redis::start_with(&[&required], &[]).await else { return };
    // Of its own login the client keeps no code.
    for (credentials, code) in [("", Some("NOAUTH")), (":not-the-one@", None)] {
        let check = manager(connection(&server.url_of(credentials)));
        let (spans, _guard) = Spans::record();
        let refused = failed(&check).await;
        assert_eq!(refused.reason(), Reason::AuthFailed, "{refused:?}");
        assert!(!refused.message().contains("not-the-one"), "{refused:?}");
        let span = spans.only();
        assert_eq!(attribute(&span, "error.type").as_deref(), Some("auth_failed"));
        let status = attribute(&span, "db.response.status_code");
        assert_eq!(status.as_deref(), code, "{refused:?}");
    }
    let right = connection(&server.url_of(&format!(":{PASSWORD}@")));
    assert_eq!(ask(&manager(right), PATIENT).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_server_that_loads_its_data_does_not_serve() {
    let settings = ["enable-debug-command yes", "rdbcompression no"];
    let Some(mut server) = Redis::start_with(&settings, &[]).await else { return };
    assert_eq!(server.ask("DEBUG POPULATE 1000 key 1024").await, "+OK\r\n");
    assert_eq!(server.ask("SAVE").await, "+OK\r\n");
    server.stop().await;
    // A tenth of a second for each key, so that it loads until it is killed.
    let slowly = ["key-load-delay 100000", "loading-process-events-interval-bytes 1024"];
    server.restart(&slowly).await;
    let loading = failed(&manager(connection(&server.url()))).await;
    assert_eq!(loading.reason(), Reason::NotServing, "{loading:?}");
    server.kill();
}
