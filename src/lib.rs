//! Health, metrics and structured status of a service, all from one execution of each check.
//!
//! A check asks one dependency, in the background, on its own clock. One run of it feeds
//! everything: the probes that orchestrators ask, a latency histogram and up/down gauges, an
//! OpenTelemetry span and the structured status; so they can never disagree.
//!
//! ```text
//! config ──► checks ──► scheduler ──► run ──► recorder ──► state ──► probes, status, metrics
//! (file)    (kinds)    (own clock)  (span,     (only         └─ sinks
//!                                   deadline)   writer)
//! ```
//!
//! # In an axum service
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use std::time::Duration;
//! use vitalsign::{Health, every};
//!
//! # async fn ping() -> std::io::Result<()> { Ok(()) }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder("orders")
//!     .check("cache", every(Duration::from_secs(5)).from_fn(ping))
//!     .build()?;
//! let app: Router = Router::new().route("/orders", get(|| async { "[]" })).merge(health.router());
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # As a service
//!
//! The binary `vitalsign` does the same from a TOML file and uses nothing but this public API:
//! [`config`] reads the file, [`checks::KINDS`] holds the kinds, [`telemetry`] sends spans and
//! writes logs, and [`http::Server`] serves.

// The program uses everything; a library of few kinds leaves parts of the shared layers unused.
#![cfg_attr(not(feature = "service"), allow(dead_code, unused_imports))]

#[cfg(feature = "alertmanager")]
pub mod alertmanager;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
pub mod check;
pub mod checks;
pub mod config;
mod feed;
#[cfg(feature = "tonic")]
pub mod grpc;
mod health;
pub mod history;
pub mod http;
pub mod keep;
mod local;
mod maintenance;
pub mod metrics;
pub mod model;
#[cfg(feature = "tls")]
mod net;
pub mod observe;
mod plan;
mod recent;
pub mod rules;
mod run;
mod scheduler;
pub mod state;
mod stop;
#[cfg(feature = "otlp")]
pub mod telemetry;
pub mod testing;
pub mod traces;
mod window;

pub use check::names::{is_check_name, is_label_name};
pub use check::{Check, Context, Declared, Detail, Failure, Heartbeat, Options, every, from_fn};
pub use config::Details;
pub use feed::{Missed, StatusChange, Subscription};
pub use health::{BuildError, Builder, Health};
pub use history::{History, HistoryError, HistoryOptions};
pub use model::{
    Calls, CheckInfo, Event, Gate, Gates, Measurement, Outcome, Phase, Reason, Run, Server,
    ServiceStatus, Sink, SkipReason, Status, Trace, Transition,
};
pub use observe::{Observation, ObserveError, Observer};
pub use plan::{Defaults, PlanError};
pub use run::Propagator;
pub use scheduler::{Changes, Revision};
pub use state::{Answer, CheckView, HealthState, ServiceInfo, Snapshot};
pub use stop::stop_signal;
pub use window::{Day, Window, WindowError};
