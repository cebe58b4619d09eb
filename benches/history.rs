//! How long the routes that show the past take, with 100 checks and 90 days of it in SQLite.
//!
//! `cargo bench --features bench --bench history` makes the past itself, asks each route some
//! hundred times, and prints what that took beside the bars, and what the past takes on disk.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has to end")]

use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use vitalsign::bench::make_history;
use vitalsign::http::App;
use vitalsign::{Health, History, HistoryOptions, every};

const DAY: Duration = Duration::from_hours(24);

/// How much is made and asked.
struct Size {
    checks: u32,
    days: u32,
    requests: usize,
}

fn main() {
    // `cargo test` leaves this out: it wants to know that it works, not how fast.
    let size = if std::env::args().any(|argument| argument == "--bench") {
        Size { checks: 100, days: 90, requests: 500 }
    } else {
        Size { checks: 3, days: 3, requests: 3 }
    };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&size));
}

fn names(size: &Size) -> impl Iterator<Item = String> {
    (0..size.checks).map(|number| format!("check-{number:03}"))
}

async fn measure(size: &Size) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("history.db");
    let options = || {
        let options = HistoryOptions::file(&file, "bench", "bench");
        options.retention(DAY * (size.days + 1))
    };
    let began = Instant::now();
    make_history(options(), names(size), size.days).await.expect("a store");
    println!("{} checks, {} days, made in {:.1?}", size.checks, size.days, began.elapsed());
    disk(&file, size).await;

    let began = Instant::now();
    let history = History::open(options()).await.expect("a history");
    println!("opened in {:.1?}", began.elapsed());
    let app = serving(&history, size).await;
    let now = jiff::Timestamp::now();
    let first = jiff::Timestamp::try_from(SystemTime::now() - DAY * size.days).expect("a time");
    let week = jiff::Timestamp::try_from(SystemTime::now() - DAY).expect("a time");
    println!(
        "\n{:<36} {:>9} {:>8} {:>8} {:>8} {:>8} {:>5}",
        "route", "bytes", "first", "p50", "p99", "longest", "bar"
    );
    let steps = |from: jiff::Timestamp, step: &str| {
        format!("/status/CHECK/history?from={from:.0}&to={now:.0}&step={step}")
    };
    for (what, path, bar) in [
        ("/", "/".to_owned(), 50),
        ("/, made anew", "/?page=2".to_owned(), 50),
        ("/checks/{check}?range=30d", "/checks/CHECK?range=30d".to_owned(), 50),
        ("/status", "/status".to_owned(), 50),
        ("/status/{check}", "/status/CHECK".to_owned(), 50),
        ("/status/{check}/history, all by day", steps(first, "1d"), 100),
        ("/status/{check}/history, all by 2 h", steps(first, "2h"), 100),
        ("/status/{check}/history, a day by 1 m", steps(week, "1m"), 100),
        ("/status/incidents", "/status/incidents".to_owned(), 100),
        ("/status/incidents?check={check}", "/status/incidents?check=CHECK".to_owned(), 100),
    ] {
        route(&app, what, &path, size, bar).await;
    }
    history.close(Duration::from_secs(5)).await;
}

/// The routes over checks that have all run once, and go on as they did in their past.
async fn serving(history: &History, size: &Size) -> App {
    let mut builder = Health::builder("bench").history(history.clone());
    for name in names(size) {
        let check = every(Duration::from_secs(10)).objective(99.9);
        builder = builder.check(name, check.from_fn(|| ready(Ok::<_, std::io::Error>(()))));
    }
    let health = builder.build().expect("the checks can be run");
    while health.state().snapshot().checks.iter().any(|check| check.last_run.is_none()) {
        sleep(Duration::from_millis(20)).await;
    }
    health.into_app()
}

/// Asks a route over and over, of one check after the other, and prints what that took.
async fn route(app: &App, what: &str, path: &str, size: &Size, bar: u64) {
    let mut took = Vec::new();
    let mut bytes = 0;
    for (_, check) in (0..size.requests).zip(names(size).collect::<Vec<_>>().iter().cycle()) {
        let mut request =
            Request::get(path.replace("CHECK", check)).body(Body::empty()).expect("a request");
        // What belongs to the details is part of what is measured.
        let client = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1)));
        request.extensions_mut().insert(client);
        let asked = Instant::now();
        let answer = app.clone().oneshot(request).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        took.push(asked.elapsed());
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        bytes = body.len();
    }
    let first = took[0];
    took.sort_unstable();
    let share = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    let millis = |took: Duration| format!("{:.2}", took.as_secs_f64() * 1_000.0);
    let [first, median, high, longest] = [first, share(50), share(99), share(100)].map(millis);
    let met = share(99) <= Duration::from_millis(bar);
    println!(
        "{what:<36} {bytes:>9} {first:>8} {median:>8} {high:>8} {longest:>8} {bar:>5} {}",
        if met { "met" } else { "MISSED" }
    );
}

/// Prints what the past takes on disk, by table and for each check.
async fn disk(file: &Path, size: &Size) {
    let options = SqliteConnectOptions::new().filename(file);
    let mut conn = options.connect().await.expect("the file");
    let sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC";
    let rows = sqlx::query(sql).fetch_all(&mut conn).await.expect("the sizes of tables");
    println!("\n{:<36} {:>11} {:>11}", "on disk, bytes", "all checks", "a check");
    let mut all = 0;
    for row in &rows {
        let (name, bytes): (String, i64) = (row.get(0), row.get(1));
        all += bytes;
        println!("{name:<36} {bytes:>11} {:>11}", bytes / i64::from(size.checks));
    }
    println!("{:<36} {all:>11} {:>11}", "all", all / i64::from(size.checks));
    let sql = "SELECT width / 60000, count(*), avg(length(sketch)) FROM vitalsign_rollups \
               GROUP BY width ORDER BY width";
    for row in sqlx::query(sql).fetch_all(&mut conn).await.expect("the roll-ups") {
        let (minutes, rows, sketch): (i64, i64, f64) = (row.get(0), row.get(1), row.get(2));
        println!("{rows} roll-ups of {minutes} minutes, sketches of {sketch:.0} bytes");
    }
}
