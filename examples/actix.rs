//! The same health behind another framework: actix-web, which asks the state instead of merging a router.
//!
//! ```text
//! CACHE=127.0.0.1:6379 cargo run --example actix
//! curl -i localhost:8080/ready     # 200 {"status":"up","cache":"up"}, or 503 while nothing listens there
//! ```

use std::{env, error::Error, time::Duration};

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, get};
use actix_web::{App, HttpResponse, HttpServer};
use tokio::net::TcpStream;
use vitalsign::metrics::{self, Format};
use vitalsign::{Gate, Health, every, stop_signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = env::var("CACHE").unwrap_or_else(|_| "127.0.0.1:6379".to_owned());
    let connect = move || {
        let cache = cache.clone();
        async move { TcpStream::connect(cache).await.map(drop) }
    };
    let cache = every(Duration::from_secs(1)).from_fn(connect);
    // The checks run on tokio's runtime; each of actix's workers only reads what they found.
    let health = Health::builder("orders").check("cache", cache).build()?;

    let shared = Data::new(health.clone());
    let app = move || {
        let probe =
            |gate| get().to(move |health: Data<Health>| async move { answer(&health, gate) });
        App::new()
            .app_data(shared.clone())
            .route("/orders", get().to(orders))
            .route("/health", probe(Gate::Health))
            .route("/ready", probe(Gate::Ready))
            .route("/startup", probe(Gate::Startup))
            .route("/metrics", get().to(scrape))
    };
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    // After a signal `/ready` is 503 for 5 s, so that balancers turn elsewhere, and then actix stops.
    let stop = health.shutdown(stop_signal()?, Duration::from_secs(5));
    let server = HttpServer::new(app).shutdown_signal(stop).bind(listen)?;
    println!("listening on http://{}", server.addrs()[0]);
    Ok(server.run().await?)
}

/// What the axum routes answer: 200 or 503, and the status of each check that gates the probe.
fn answer(health: &Health, gate: Gate) -> HttpResponse {
    let answer = health.state().probe(gate);
    let ok = answer.status.is_ok();
    let code = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(code)
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(answer.to_json())
}

/// What Prometheus scrapes.
async fn scrape(health: Data<Health>) -> HttpResponse {
    let page = metrics::encode(health.state(), Format::Text);
    HttpResponse::Ok().content_type(Format::Text.content_type()).body(page)
}

async fn orders() -> &'static str {
    "0 orders\n"
}
