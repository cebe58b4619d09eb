//! Export of spans over OTLP.
//!
//! Input: the settings, the `OTEL_*` variables and kept traces. Output: requests to a collector.

mod connector;
mod environment;
mod meters;
mod otlp;
mod processor;
mod spans;
mod target;
mod tls;
mod variables;

pub(super) use environment::{Plan, Propagator, Sampling, plan};
pub(super) use otlp::Client;
pub(super) use processor::BatchProcessor;
pub use variables::Problem;
