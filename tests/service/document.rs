//! The structured status of a fixed situation, to the letter.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use vitalsign::config::Details;
use vitalsign::{Detail, Failure, Gate, Health, Options, Reason, every};

const SECOND: Duration = Duration::from_secs(1);

fn seldom() -> Options {
    every(SECOND * 120).timeout(SECOND * 60)
}

/// A service with a check of every status, all of which have run but the one that hangs.
async fn situation(details: Details) -> Health {
    let failing =
        || async { Err::<(), _>(Failure::new(Reason::ConnectionRefused, "it is closed")) };
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok::<_, Failure>(Detail::warning("the replica lags"))
    };
    let database = every(Duration::from_millis(7500))
        .timeout(Duration::from_millis(1500))
        .description("orders, primary")
        .gates([Gate::Ready, Gate::Startup])
        .objective(99.9)
        .label("team", "payments")
        .depends_on("vpn");
    let health = Health::builder("orders")
        .version("1.4.2")
        .environment("production")
        .instance("orders-1")
        .details(details)
        .check("database", database.from_fn(|| async { Ok::<_, Failure>(()) }))
        .check("cache", seldom().gates([]).from_fn(slow))
        .check("vpn", seldom().gates([]).from_fn(failing))
        .check("hanging", seldom().from_fn(std::future::pending::<Result<(), Failure>>))
        .build()
        .expect("checks");
    tokio::time::sleep(SECOND).await;
    health
}

/// `/status` in a form that people read.
async fn document(details: Details) -> String {
    let app = situation(details).await.into_app();
    let request = Request::get("/status").body(Body::empty()).expect("a request");
    let answer = app.oneshot(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let document: Value = serde_json::from_slice(&body).expect("JSON");
    serde_json::to_string_pretty(&document).expect("text")
}

#[tokio::test(start_paused = true)]
async fn the_status_reads_as_it_always_did() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]");
    settings.add_filter(r#""duration_seconds": 0\.\d+"#, r#""duration_seconds": [seconds]"#);
    let full = document(Details::Always).await;
    let names_alone = document(Details::Never).await;
    settings.bind(|| {
        insta::assert_snapshot!("status", full);
        insta::assert_snapshot!("status_without_details", names_alone);
    });
}
