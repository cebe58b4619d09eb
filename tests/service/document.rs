//! What a fixed situation reads like, to the letter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;
use tower::ServiceExt;
use vitalsign::config::Details;
use vitalsign::http::App;
use vitalsign::{
    Check, Context, Detail, Failure, Gate, Health, Measurement, Options, Phase, Reason, every,
};

const IETF: &str = "application/health+json";
const SECOND: Duration = Duration::from_secs(1);

fn seldom() -> Options {
    every(SECOND * 120).timeout(SECOND * 60)
}

const LAG: Measurement =
    Measurement { name: "replication_lag_seconds", help: "How far the replica is behind." };

/// A check with phases and a figure.
struct Database;

#[async_trait]
impl Check for Database {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        cx.phase(Phase::Connect, sleep(Duration::from_millis(2))).await;
        cx.phase(Phase::Request, sleep(Duration::from_millis(1))).await;
        cx.measure(&LAG, 0.25);
        Ok(Detail::ok())
    }
}

/// A service with a check of every status, all of which have run but the one that hangs.
async fn situation(details: Details) -> Health {
    let recovering = {
        let asked = AtomicBool::new(false);
        move || {
            let first = !asked.swap(true, Ordering::SeqCst);
            let failure = || Failure::new(Reason::QueryFailed, "it is closed");
            async move { if first { Err(failure()) } else { Ok(()) } }
        }
    };
    let failing =
        || async { Err::<(), _>(Failure::new(Reason::ConnectionRefused, "it is closed")) };
    let slow = || async {
        sleep(Duration::from_millis(300)).await;
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
        .check("database", database.check(Database))
        .check("cache", seldom().from_fn(slow))
        .check("queue", every(SECOND).success_threshold(9).from_fn(recovering))
        .check("vpn", seldom().gates([]).from_fn(failing))
        .check("hanging", seldom().from_fn(std::future::pending::<Result<(), Failure>>))
        .build()
        .expect("checks");
    // By then the one that recovers has been asked twice.
    sleep(SECOND * 2).await;
    health
}

async fn get(app: &App, path: &str, accept: &str) -> (u16, String) {
    let request = Request::get(path).header("accept", accept).body(Body::empty());
    let answer = app.clone().oneshot(request.expect("a request")).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// JSON at `path` in a form that people read.
async fn document(app: &App, path: &str, accept: &str) -> String {
    let (_, body) = get(app, path, accept).await;
    let document: Value = serde_json::from_str(&body).expect("JSON");
    serde_json::to_string_pretty(&document).expect("text")
}

#[tokio::test(start_paused = true)]
async fn the_documents_read_as_they_always_did() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]");
    let full = situation(Details::Always).await.into_app();
    let names_alone = situation(Details::Never).await.into_app();
    let documents = [
        ("status", document(&full, "/status", "*/*").await),
        ("status_without_details", document(&names_alone, "/status", "*/*").await),
        ("health_json", document(&full, "/ready", IETF).await),
        ("health_json_without_details", document(&names_alone, "/ready", IETF).await),
        ("health_json_degraded", document(&full, "/ready/cache", IETF).await),
        ("verbose", get(&full, "/ready?verbose", "*/*").await.1),
        ("verbose_without_details", get(&names_alone, "/ready?verbose", "*/*").await.1),
    ];
    settings.bind(|| {
        for (name, document) in documents {
            insta::assert_snapshot!(name, document);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn one_check_alone_is_200_while_it_serves() {
    let app = situation(Details::Never).await.into_app();
    for (check, status, body) in [
        ("database", 200, r#"{"status":"up"}"#),
        ("cache", 200, r#"{"status":"degraded"}"#),
        ("vpn", 503, r#"{"status":"down"}"#),
        ("hanging", 503, r#"{"status":"unknown"}"#),
    ] {
        for prefix in ["/ready", "/health"] {
            let answer = get(&app, &format!("{prefix}/{check}"), "*/*").await;
            assert_eq!(answer, (status, body.to_owned()), "{prefix}/{check}");
        }
    }
}
