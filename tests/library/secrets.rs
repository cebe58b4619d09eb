//! No text of an error shows what is secret in a URL, whichever way it came and wherever it goes.

use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use tracing_subscriber::fmt::MakeWriter;
use vitalsign::config::Details;
use vitalsign::{Declared, Detail, Failure, Health, Reason, every, secs};

use super::get;
use crate::support::spans::Spans;

/// What an error says, and what may be shown of it.
const TEXT: &str = "GET https://app:s3cret@rates.example/v1?key=s3cret#s3cret failed";
const SHOWN: &str = "GET https://rates.example/v1 failed";

fn io() -> io::Error {
    io::Error::other(TEXT)
}

/// An error that hides it in its cause.
#[derive(Debug)]
struct Outer(io::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no rates")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

type Boxed = Box<dyn Error + Send + Sync>;

/// A check for each way in which a text reaches a run.
fn checks() -> Vec<(&'static str, Declared)> {
    let hourly = || every(secs(3600));
    vec![
        ("box", hourly().from_fn(|| async { Err::<(), Boxed>(io().into()) })),
        ("caveat", hourly().from_fn(|| async { Ok::<_, Failure>(Detail::warning(TEXT)) })),
        ("chain", hourly().from_fn(|| async { Err::<(), _>(Outer(io())) })),
        ("error", hourly().from_fn(|| async { Err::<(), _>(io()) })),
        ("failure", hourly().from_fn(|| async { Err::<(), _>(Failure::new(Reason::Other, TEXT)) })),
        ("static", hourly().from_fn(|| async { Err::<(), _>(TEXT) })),
        ("string", hourly().from_fn(|| async { Err::<(), _>(TEXT.to_owned()) })),
        (
            "unknown",
            hourly().from_fn(|| async { Err::<(), _>(Failure::new(Reason::LocalResource, TEXT)) }),
        ),
    ]
}

async fn health(checks: Vec<(&'static str, Declared)>) -> Health {
    let names: Vec<_> = checks.iter().map(|(name, _)| *name).collect();
    let builder = Health::builder("orders").details(Details::Always);
    let builder = checks.into_iter().fold(builder, |all, (name, check)| all.check(name, check));
    let health = builder.build().expect("a health");
    let ran = |name: &str| health.state().check(name).is_some_and(|c| c.last_run.is_some());
    while !names.iter().all(|name| ran(name)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    health
}

/// What every route for people and programs shows of `health`.
async fn shown(health: &Health, names: &[&str]) -> String {
    let app: Router = health.router();
    let pages = health.clone().into_app();
    let mut all = String::new();
    for path in ["/status", "/ready?verbose", "/health?verbose", "/metrics"] {
        all += &get(app.clone(), path).await.1;
    }
    for name in names {
        all += &get(app.clone(), &format!("/status/{name}")).await.1;
        let page = Router::new().fallback_service(pages.clone());
        all += &get(page, &format!("/checks/{name}")).await.1;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn of_urls_stay_out_of_every_answer_of_a_run_that_says_them() {
    let checks = checks();
    let names: Vec<_> = checks.iter().map(|(name, _)| *name).collect();
    let health = health(checks).await;
    for name in &names {
        let run = health.state().check(name).and_then(|check| check.last_run).expect("a run");
        let message = run.message.clone().expect("a message");
        assert!(message.ends_with(SHOWN) && !message.contains("s3cret"), "{name}: {message}");
    }
    let all = shown(&health, &names).await;
    assert!(all.contains(SHOWN) && !all.contains("s3cret"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn of_urls_stay_out_of_what_the_host_observed() {
    let good = || every(secs(3600)).failure_threshold(1).from_fn(|| async { Ok::<_, Failure>(()) });
    let health = health(vec![("db", good())]).await;
    let database = health.observe("db").expect("a check");
    let mut changes = health.subscribe().checks();
    let message = || {
        let run = health.state().check("db").and_then(|check| check.last_run).expect("a run");
        run.message.clone()
    };
    let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, TEXT);
    let _ = database.call(async { Err::<(), _>(refused()) }).await;
    assert_eq!(message().as_deref(), Some(SHOWN));
    let change = changes.next().await.expect("a change").expect("it was not missed");
    assert_eq!(change.transition.message.as_deref(), Some(SHOWN));
    let boxed = async { Err::<(), Boxed>(refused().into()) };
    let _ = database.call(boxed).await;
    assert_eq!(message().as_deref(), Some(SHOWN));
    database.record(Failure::new(Reason::Other, TEXT), Duration::ZERO);
    assert_eq!(message().as_deref(), Some(SHOWN));
    database.warning(TEXT, Duration::ZERO);
    assert_eq!(message().as_deref(), Some(SHOWN));
}

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn of_urls_stay_out_of_logs() {
    crate::support::spans::prepare();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let _health = health(checks()).await;
    drop(guard);
    let written = String::from_utf8(lines.0.lock().expect("nobody panics").clone()).expect("text");
    assert!(written.contains(SHOWN) && !written.contains("s3cret"), "{written}");
}

#[tokio::test(start_paused = true)]
async fn of_urls_stay_out_of_spans() {
    let (spans, _guard) = Spans::record();
    let _health = health(checks()).await;
    let ended = spans.ended();
    assert!(ended.len() >= 8, "{} spans", ended.len());
    let all = format!("{ended:?}");
    assert!(!all.contains("s3cret"), "{all}");
}
