//! Telemetry of the service itself: metrics, traces and logs.
//!
//! [`metrics`] encodes the page of `/metrics`, [`tail_sampling`] decides which traces are kept.
//! With the feature `otlp`, [`Telemetry`] reads the settings and the `OTEL_*` variables, writes
//! the log and exports spans. The library itself installs none of it.

#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod logs;
pub mod metrics;
#[cfg(feature = "otlp")]
mod settings;
#[cfg(feature = "otlp")]
mod setup;
pub mod tail_sampling;

#[cfg(feature = "otlp")]
pub use crate::config::{LogFormat, TracesProtocol as Protocol};
#[cfg(feature = "otlp")]
pub use export::Problem;
#[cfg(feature = "otlp")]
pub use logs::Output;
#[cfg(feature = "otlp")]
pub use settings::{Service, Settings};
#[cfg(feature = "otlp")]
pub use setup::{Guard, SharedPropagator, Telemetry, TelemetryError};
