//! The CLIENT spans of the SQL kinds, by the semantic conventions for databases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanKind, Status, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use tracing_subscriber::layer::SubscriberExt;
use vitalsign::Check;

use super::{PLENTY, ask, check};
use crate::support::mariadb::MariaDb;
use crate::support::postgres::{PASSWORD, Postgres, USER};

#[derive(Debug, Clone, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().expect("no panic beside").push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The CLIENT span of one run of `check`.
async fn span_of(check: Arc<dyn Check>) -> SpanData {
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder().with_span_processor(ended.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let guard = tracing::subscriber::set_default(subscriber);
    let _ = ask(&*check, PLENTY).await;
    drop(guard);
    let mut spans = ended.0.lock().expect("no panic beside");
    spans.retain(|span| span.span_kind == SpanKind::Client);
    assert_eq!(spans.len(), 1, "{spans:?}");
    spans.remove(0)
}

/// Attributes of the conventions, without those of `tracing`.
fn attributes(span: &SpanData) -> BTreeMap<&str, String> {
    let named = ["db.", "server.", "error."];
    let all = span.attributes.iter().map(|a| (a.key.as_str(), a.value.to_string()));
    all.filter(|(key, _)| named.iter().any(|n| key.starts_with(n))).collect()
}

#[tokio::test]
async fn a_good_run_tells_system_database_operation_and_server() {
    let Some(server) = Postgres::start().await else { return };
    let span = span_of(check("postgres", &format!("url = '{}'", server.url()))).await;
    assert_eq!((span.name.as_ref(), &span.status), ("SELECT postgres", &Status::Unset));
    let wanted = [
        ("db.namespace", "postgres".to_owned()),
        ("db.operation.name", "SELECT".to_owned()),
        ("db.query.text", "SELECT 1".to_owned()),
        ("db.system.name", "postgresql".to_owned()),
        ("server.address", "127.0.0.1".to_owned()),
        ("server.port", server.port().to_string()),
    ];
    assert_eq!(attributes(&span), wanted.into());
    let events: Vec<_> = span.events.iter().map(|e| e.name.as_ref()).collect();
    assert_eq!(events, ["connect", "request"]);
}

#[tokio::test]
async fn a_configured_query_stays_out_of_the_span_and_its_error_has_a_code() {
    let Some(server) = Postgres::start().await else { return };
    let options = format!("url = '{}'\nquery = \"SELECT 'literal' FROM nothing\"", server.url());
    let span = span_of(check("postgres", &options)).await;
    assert_eq!(span.name, "postgres");
    let attributes = attributes(&span);
    assert_eq!(attributes["db.response.status_code"], "42P01");
    assert_eq!(attributes["error.type"], "query_failed");
    assert!(matches!(span.status, Status::Error { .. }));
    let all = format!("{span:?}");
    assert!(!all.contains("literal") && !all.contains(PASSWORD), "{all}");
}

#[tokio::test]
async fn an_answer_that_is_not_the_expected_one_leaves_the_span_unset() {
    let Some(server) = Postgres::start().await else { return };
    let options = format!("url = '{}'\nexpect.rows = 2", server.url());
    let span = span_of(check("postgres", &options)).await;
    assert_eq!(span.status, Status::Unset);
    assert!(!attributes(&span).contains_key("error.type"));
}

#[tokio::test]
async fn a_refused_connection_is_an_error_of_the_span() {
    let port = crate::support::daemon::free_port();
    let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/orders");
    let span = span_of(check("postgres", &format!("url = '{url}'"))).await;
    assert_eq!(attributes(&span)["error.type"], "connection_refused");
    assert_eq!(attributes(&span)["db.namespace"], "orders");
}

#[tokio::test]
async fn mysql_and_mariadb_go_by_the_scheme_of_the_url() {
    let Some(server) = MariaDb::start().await else { return };
    let wrong = server.url_of("app", "not-the-Pa55word", "app");
    for (url, system) in
        [(wrong.clone(), "mysql"), (wrong.replace("mysql:", "mariadb:"), "mariadb")]
    {
        let span = span_of(check("mysql", &format!("url = '{url}'"))).await;
        let attributes = attributes(&span);
        assert_eq!(attributes["db.system.name"], system);
        assert_eq!(attributes["db.response.status_code"], "1045");
        assert_eq!(attributes["error.type"], "auth_failed");
    }
}

#[tokio::test]
async fn the_span_of_sqlite_ends_with_the_run_and_not_with_its_thread() {
    for _ in 0..100 {
        let span = span_of(check("sqlite", "path = ':memory:'")).await;
        assert_eq!(span.name, "SELECT :memory:");
        assert_eq!(attributes(&span)["db.system.name"], "sqlite");
    }
}
