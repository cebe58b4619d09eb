//! The service on one port, probes and metrics on another that only the inside reaches, and one
//! shutdown of both.
//!
//! ```text
//! cargo run --example two_listeners
//! curl http://127.0.0.1:8080/orders     # what customers ask
//! curl http://127.0.0.1:9090/ready      # what the orchestrator asks
//! curl http://127.0.0.1:9090/metrics
//! ```

use std::{env, error::Error, io, net::SocketAddr};

use axum::{Router, routing::get, serve};
use tokio::net::TcpListener;
use vitalsign::{Health, every, secs, stop_signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let health = Health::builder("orders").check("cache", every(secs(5)).from_fn(ping)).build()?;
    let public = TcpListener::bind(address("LISTEN", "127.0.0.1:8080")).await?;
    let inside = TcpListener::bind(address("INSIDE", "127.0.0.1:9090")).await?;
    println!("listening on http://{}", public.local_addr()?);
    println!("probes on http://{}", inside.local_addr()?);

    // After the signal /ready says 503 for 5 s while both listeners go on. Then both stop, each
    // once its requests have been answered.
    let stop = health.shutdown(stop_signal()?, secs(5));
    let app = Router::new().route("/orders", get(|| async { "[]\n" }));
    let probes: Router = health.router();
    let probes = probes.into_make_service_with_connect_info::<SocketAddr>();
    let app = serve(public, app).with_graceful_shutdown(stop.clone());
    let probes = serve(inside, probes).with_graceful_shutdown(stop);
    tokio::try_join!(app.into_future(), probes.into_future())?;
    Ok(())
}

/// Stands for a question to a dependency.
async fn ping() -> io::Result<()> {
    Ok(())
}

fn address(variable: &str, default: &str) -> String {
    env::var(variable).unwrap_or_else(|_| default.to_owned())
}
