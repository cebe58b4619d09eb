//! A service that speaks TLS by aws-lc-rs, and checks its own pool and its own HTTP client.
//!
//! It ends well when it could make a TLS configuration without naming a provider, which panics where
//! the program holds two, and when both checks have had their first run.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use sqlx::PgPool;
use vitalsign::{Health, Reason, checks, every, secs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let roots = Arc::new(RootCertStore::empty());
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).build()?;
    // Nothing listens on port 1, so that both fail at once, and for a known reason.
    let pool = PgPool::connect_lazy("postgres://app@127.0.0.1:1/orders?sslmode=require")?;
    let rates = checks::reqwest::get(client, "https://127.0.0.1:1/health".parse()?);
    let health = Health::builder("orders")
        .check("database", every(secs(10)).timeout(secs(2)).check(checks::postgres::pool(pool)))
        .check("rates", every(secs(10)).timeout(secs(2)).check(rates))
        .build()?;
    for name in ["database", "rates"] {
        let reason = first_reason(&health, name).await;
        println!("{name}: {reason}");
        if reason != Reason::ConnectionRefused {
            return Err(format!("{name} failed for {reason}, not for connection_refused").into());
        }
    }
    Ok(())
}

/// The reason for which the first run of a check fails.
async fn first_reason(health: &Health, name: &str) -> Reason {
    loop {
        let run = health.state().check(name).and_then(|check| check.last_run);
        if let Some(run) = run {
            return run.reason.unwrap_or(Reason::Other);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
