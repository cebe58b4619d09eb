//! An axum service with a pool of its own, and its health: `DATABASE_URL=postgres://… cargo run --example embed`.

use std::{env, error::Error, net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get, serve};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::net::TcpListener;
use vitalsign::{Health, checks::postgres, every, stop_signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = PgPoolOptions::new().max_connections(5).connect_lazy(&env::var("DATABASE_URL")?)?;
    let database = every(Duration::from_secs(2)).check(postgres::pool(pool.clone()));
    let health = Health::builder("orders").check("database", database).build()?;
    let app = Router::new().route("/orders", get(orders)).with_state(pool).merge(health.router());

    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = health.shutdown(stop_signal()?, Duration::from_secs(5));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(serve(listener, app).with_graceful_shutdown(stop).await?)
}

async fn orders(State(pool): State<PgPool>) -> Result<String, StatusCode> {
    let counted = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&pool).await;
    counted.map(|count: i64| format!("{count} orders\n")).map_err(|_| StatusCode::BAD_GATEWAY)
}
