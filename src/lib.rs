//! Health, metrics and structured status of a service, all from one execution of each check.
//!
//! A check tests one dependency, in the background, on its own interval. One run feeds everything:
//! the orchestrator's probes, a latency histogram and up/down gauges, an OpenTelemetry span and the
//! structured status; so they can never disagree.
//!
//! ```text
//! config ──► checks ──► scheduler ──► run ──► recorder ──► state ──► probes, status, metrics
//! (file)    (kinds)    (own clock)  (span,     (only         └─ sinks
//!                                   deadline)   writer)
//! ```
//!
//! # In an axum service
//!
//! Declare what the service depends on, build, and merge the routes. A check is any closure whose
//! future returns a `Result`:
//!
//! ```
//! use axum::{Router, routing::get};
//! use vitalsign::{Health, every, secs};
//!
//! # async fn ping() -> std::io::Result<()> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder("orders")
//!     .check("cache", every(secs(5)).from_fn(ping)) // async fn ping() -> io::Result<()>
//!     .build()?;
//! let app: Router = Router::new().route("/orders", get(|| async { "[]" })).merge(health.router());
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! This adds `/health`, `/ready` and `/startup` for an orchestrator, `/metrics` for Prometheus, and
//! `/status`, its history and `/events` for people and programs. The checks run from `build` on, on
//! the current tokio runtime, until the last clone of [`Health`] and the routes are dropped. The
//! library itself installs no global recorder, subscriber or signal handler.
//!
//! # Over the clients that it has
//!
//! The best check uses the pool of the service itself: it meets the same failures, and the pool
//! itself can be exhausted.
//!
#![cfg_attr(feature = "postgres-pool", doc = "```")]
#![cfg_attr(not(feature = "postgres-pool"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use vitalsign::{Health, checks, every, secs};
//!
//! # #[derive(Clone)] struct Cache;
//! # async fn ping(_: Cache) -> std::io::Result<()> { Ok(()) }
//! # async fn list() -> &'static str { "[]" }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (cache, state) = (Cache, Cache);
//! # let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/orders")?;
//! let health = Health::builder("orders")
//!     .check("database", checks::postgres::pool(pool.clone()))          // the application's own pool
//!     .check("cache", every(secs(5)).from_fn(move || ping(cache.clone())))
//!     .build()?;                                                         // needs no global state
//! let app = Router::new().route("/orders", get(list)).merge(health.router()).with_state(state);
//! # let _: Router = app;
//! # Ok(())
//! # }
//! ```
//!
//! [`checks`] has the same for pools of MySQL and SQLite, the connection manager of the crate
//! `redis` and the client of the crate `reqwest`.
//!
//! # What a check may say
//!
//! `Ok(())` is a success, a [`Detail::warning`] a success with a warning text, an error a failure.
//! A failure has a [`Reason`] from a fixed list, for metrics and alerts; for an I/O error in the
//! chain of causes it is found automatically. A run that takes longer than the check's timeout is
//! cancelled; a panic is a failure.
//!
//! ```
//! use vitalsign::{Detail, Failure, Reason, every, secs};
//!
//! # struct Queue;
//! # impl Queue { async fn depth() -> std::io::Result<u64> { Ok(3) } }
//! let queue = every(secs(5)).from_fn(|| async {
//!     match Queue::depth().await? {
//!         0..1_000 => Ok(Detail::ok()),
//!         depth @ 1_000..10_000 => Ok(Detail::warning(format!("{depth} messages wait"))),
//!         _ => Err(Failure::new(Reason::OutOfRange, "the queue is full")),
//!     }
//! });
//! # let _ = queue;
//! ```
//!
//! A type that implements [`Check`] can do more: name its kind, report measurements, time its
//! phases, open a CLIENT span.
//!
//! # Thresholds and gates
//!
//! [`Options`] define how a status follows from runs. By default three failed runs in a row make a
//! check `down`, and one good run brings it back; its first run decides alone. Slow successes make
//! it `degraded`. While a check is down, the probes that it *gates* are 503: `/ready` by default,
//! none if it is informative.
//!
//! ```
//! use std::time::Duration;
//! use vitalsign::{Gate, every, secs};
//!
//! # async fn ask() -> std::io::Result<()> { Ok(()) }
//! let database = every(secs(5))
//!     .timeout(secs(1))
//!     .failure_threshold(2)
//!     .degraded_after(Duration::from_millis(250))
//!     .gates([Gate::Ready, Gate::Startup])
//!     .from_fn(ask);
//! let recommendations = every(secs(30)).gates([]).from_fn(ask); // degraded at worst
//! # let _ = (database, recommendations);
//! ```
//!
//! Let a check gate `ready` only if the fault concerns this replica and the replica cannot work
//! without it: a check of a shared database takes all replicas out of service at once. Never let a
//! check of another system gate `health`, or the orchestrator restarts healthy processes.
//!
//! # Dependencies among checks
//!
//! While the `vpn` is down, the checks that depend on it continue to run, but raise no alert:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), vitalsign::BuildError> {
//! # async fn ask() -> std::io::Result<()> { Ok(()) }
//! use vitalsign::{Health, every, secs};
//!
//! let health = Health::builder("orders")
//!     .check("vpn", every(secs(5)).from_fn(ask))
//!     .check("ledger", every(secs(10)).depends_on("vpn").from_fn(ask))
//!     .build()?;
//! # let _ = health;
//! # Ok(())
//! # }
//! ```
//!
//! # The calls that the service makes anyway
//!
//! An [`Observer`] counts each real call as a run of its check; with
//! [`spare_when_observed`](Options::spare_when_observed) the check itself runs only if calls are
//! missing or fail. See [`observe`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async fn ask() -> std::io::Result<()> { Ok(()) }
//! # async fn find_orders() -> std::io::Result<Vec<u32>> { Ok(vec![7]) }
//! # use vitalsign::{Health, every, secs};
//! let ledger = every(secs(10)).spare_when_observed(true).from_fn(ask);
//! let health = Health::builder("orders").check("ledger", ledger).build()?;
//!
//! let ledger = health.observe("ledger")?;
//! let orders = ledger.call(find_orders()).await?;
//! # assert_eq!(orders, [7]);
//! # Ok(())
//! # }
//! ```
//!
//! # Routers and shutdown
//!
//! [`Health::router`] has every route for programs; [`router_at`](Health::router_at) puts them under
//! a path, and [`probe_router`](Health::probe_router) and [`detail_router`](Health::detail_router)
//! split them for two listeners. [`into_app`](Health::into_app) adds the status page.
//! [`Health::shutdown`] is the drain: `/ready` answers 503 while everything else is still served.
//!
//! ```no_run
//! # use axum::Router;
//! # async fn run(health: vitalsign::Health) -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::SocketAddr;
//! use vitalsign::{secs, stop_signal};
//!
//! let app = Router::new().nest_service("/vitals", health.clone().into_app()).merge(health.router());
//! // Clients on this host see causes too, and so it matters who asks.
//! let app = app.into_make_service_with_connect_info::<SocketAddr>();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let stop = health.shutdown(stop_signal()?, secs(5));
//! axum::serve(listener, app).with_graceful_shutdown(stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A host of another framework answers from the [state](Health::state) by itself: the body of a
//! probe is [`HealthState::probe`], the metrics are [`metrics::encode`], and
//! [`subscribe`](Health::subscribe) yields every event. `examples/actix.rs` does so.
//!
//! # Metrics
//!
//! `/metrics` shows the checks' own series, and what the host records through the `metrics` facade
//! when it is given the handle of the host's exporter. [`http::RequestMetrics`] measures the host's
//! routes, and [`Builder::measure_requests`] those of this crate.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use vitalsign::Health;
//! let (recorder, handle) = vitalsign::metrics::exporter();
//! metrics::set_global_recorder(recorder)?; // in a host that has none yet
//! let health = Health::builder("orders").exporter(handle).build()?;
//!
//! metrics::counter!("orders_total").increment(1);
//! # let page = axum::http::Request::get("/metrics").body(axum::body::Body::empty())?;
//! # let page = tower::ServiceExt::oneshot(health.router::<()>(), page).await?;
//! # let page = axum::body::to_bytes(page.into_body(), usize::MAX).await?;
//! # assert!(std::str::from_utf8(&page)?.contains("\norders_total 1\n"));
//! # Ok(())
//! # }
//! ```
//!
//! A host that exposes metrics its own way has the same series in its own recorder instead, by
//! [`metrics::Exposition::Facade`]. Two services on one recorder keep theirs apart with a
//! [`metric_label`](Builder::metric_label) each; the second is not built without.
//!
//! # Spans
//!
//! Each run is a trace of its own, of `tracing` spans with the target [`traces::TARGET`]: they go to
//! the host's subscriber, and to its collector where that has a layer of `tracing-opentelemetry`.
//! [`tail_sampling`] keeps the traces of failures and slow runs, and few of the others; it leaves the
//! host's own traces alone. [`Builder::run_spans`] gives a share of the runs spans, or none.
//!
//! # In the host's own tests
//!
//! [`testing`] has checks whose outcomes a test writes down, and waits for a status. With tokio's
//! clock paused, half a minute of runs takes no time:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use vitalsign::testing::{Step, eventually, scripted};
//! use vitalsign::{Health, Reason, Status, every, secs};
//!
//! let database = scripted([Step::Ok, Step::Fail(Reason::ConnectionRefused)]);
//! let health = Health::builder("orders")
//!     .check("database", every(secs(10)).check(database))
//!     .build()
//!     .unwrap();
//! eventually(&health, "database", Status::Down).await;
//! assert!(!health.ready());
//! # }
//! ```
//!
//! # The built-in kinds
//!
//! [`checks::of`] makes a check of a kind from the options that its table in a file would hold, and
//! [`config::KindOptions`] is how a kind of one's own joins them, as in `examples/custom_kind.rs`.
//!
#![cfg_attr(feature = "tcp", doc = "```")]
#![cfg_attr(not(feature = "tcp"), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use serde_json::json;
//! use vitalsign::{Health, checks, every, secs};
//!
//! let vpn = checks::of("tcp", json!({ "address": "vpn.internal:443", "tls": true }))?;
//! let health = Health::builder("orders").check("vpn", every(secs(30)).check(vpn)).build()?;
//! # let _ = health;
//! # Ok(())
//! # }
//! ```
//!
//! # Cargo features
//!
//! The default is the whole service. A library wants `default-features = false`, which leaves TLS,
//! SQL and every client out of the tree, and of the features what it uses:
//!
//! | feature | brings |
//! | --- | --- |
//! | `postgres-pool`, `mysql-pool`, `sqlite-pool` | checks of the host's own pool of sqlx |
//! | `redis-client`, `reqwest-client` | checks of the host's own client of these crates |
//! | a kind's name, such as `postgres` or `http` | that kind, and the check of a pool where it has one; `kinds` brings all |
//! | `tonic` | `Health::grpc_service`, gRPC's health protocol over the same state |
//! | `config` | `config`: checks and settings from a file, kinds from options; every kind brings it |
//! | `history` | `history` in SQLite or Postgres, and its routes |
//! | `page` | the pages for people |
//! | `openapi` | `/openapi.json` |
//! | `maintenance` | maintenance windows |
//! | `compression` | gzip on `/metrics` |
//! | `server` | `http::Server`, a listener with bounds |
//! | `process` | figures of the process, by `metrics::collect` |
//! | `tls` | TLS in `http::Server`, and the kind `tls` |
//! | `otlp` | `telemetry`: spans to a collector, and logs |
//! | `alertmanager` | alerts straight to Alertmanager |
//!
//! # TLS and crypto providers
//!
//! Checks of the host's own clients bring no TLS: the client has its own, with the provider that the
//! host chose. The kinds over a network, the server's TLS, alerts and export bring `rustls` with
//! `ring`, and hand that provider to each connection. Nothing installs a provider for the process or
//! needs one. A host on `aws-lc-rs` that uses those parts too has both providers in its tree, and
//! then has to name its own: `CryptoProvider::install_default`, or `builder_with_provider`.
//!
//! # As a service
//!
//! The binary `vitalsign` does the same from a TOML file and uses nothing but this public API:
//! [`config`] reads the file, [`checks::KINDS`] holds the kinds, [`telemetry`] sends spans and
//! writes logs, and [`http::Server`] serves.
//!
//! Coming from handlers of your own, `axum-health`, Spring Boot's Actuator, ASP.NET's health checks,
//! blackbox_exporter or Gatus? [What is called what here][migrating].
//!
//! [migrating]: https://github.com/vitalsign-rs/vitalsign/blob/main/docs/MIGRATING.md

pub mod checks;
#[cfg(feature = "config")]
pub mod config;
#[cfg(any(feature = "alertmanager", feature = "otlp"))]
mod delivery;
mod engine;
mod events;
#[cfg(feature = "tonic")]
pub mod grpc;
mod health;
#[cfg(feature = "history")]
pub mod history;
#[cfg(not(feature = "history"))]
#[path = "history/absent.rs"]
mod history;
pub mod http;
pub mod model;
#[cfg(feature = "tls")]
mod net;
#[cfg(feature = "alertmanager")]
mod notify;
#[cfg(feature = "config")]
pub mod rules;
pub mod telemetry;

pub use engine::check::{
    Check, Context, Declared, Detail, Failure, Heartbeat, IntoFailure, Manual, Options, every,
    from_fn, from_fn_cx, from_fn_with, is_check_name, is_label_name, secs,
};
pub use engine::state::{Answer, CheckView, GroupView, HealthState, ServiceInfo, Snapshot};
pub use engine::traces::RunSpans;
pub use engine::{Changes, Defaults, PlanError, Propagator, Revision, check, state, traces};
#[cfg(feature = "maintenance")]
pub use engine::{Day, Window, WindowError};
pub use events::{
    CheckSubscription, HealthEvent, MaintenanceChange, Missed, ServiceChange, StatusChange,
    Subscription,
};
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use health::bench;
pub use health::observe::{Observation, ObserveError, Observer};
pub use health::{BuildError, Builder, Health, Shutdown, observe, stop_signal, testing};
#[cfg(feature = "history")]
pub use history::{History, HistoryError, HistoryOptions};
pub use model::{
    Calls, CheckInfo, Details, Event, Gate, Gates, Measurement, NameError, Outcome, Phase, Reason,
    Run, Secret, Server, ServiceStatus, Sink, SkipReason, Status, Trace, Transition, Unit,
    log_targets,
};
#[cfg(feature = "alertmanager")]
pub use notify::alertmanager;
pub use telemetry::{metrics, tail_sampling};

/// The crates whose types stand in the signatures of this one, in the versions that are meant.
///
/// A host that names one of them by this path needs no line for it in its manifest, and cannot have
/// another version of it by mistake: `use vitalsign::reexports::async_trait::async_trait;`.
pub mod reexports {
    pub use {async_trait, axum, hyper, metrics, metrics_exporter_prometheus, opentelemetry};
    pub use {opentelemetry_sdk, serde, tokio, tokio_util, tower, tracing};

    #[cfg(feature = "redis-client")]
    pub use redis;
    #[cfg(feature = "reqwest-client")]
    pub use reqwest;
    #[cfg(feature = "tls")]
    pub use rustls;
    #[cfg(feature = "schema")]
    pub use schemars;
    #[cfg(feature = "sql-pool")]
    pub use sqlx;
    #[cfg(feature = "config")]
    pub use toml;
    #[cfg(feature = "tonic")]
    pub use tonic;
}

// The pages hold code that readers will copy: it is compiled with the other examples.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
struct _Readme;
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/OBSERVING.md")]
struct _Observing;
#[cfg(doctest)]
#[doc = include_str!("../docs/EVENTS.md")]
struct _Events;
#[cfg(all(doctest, feature = "otlp"))]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct _Embedding;
#[cfg(all(doctest, feature = "postgres", feature = "reqwest-client"))]
#[doc = include_str!("../docs/MIGRATING.md")]
struct _Migrating;
