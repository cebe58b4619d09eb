//! The shared types of the crate: a check, the result of a run, the status, and the events for
//! sinks.
//!
//! All other modules use them; this module imports no other. Fixed sets of values are enums whose
//! [`as_str`](Status::as_str) is the exact text that probes, metrics, spans and the status document
//! show.

#[cfg(feature = "tls")]
mod byte_order_mark;
mod calls;
mod check;
mod details;
#[cfg(any(feature = "grpc", feature = "tonic"))]
pub(crate) mod grpc_health;
pub mod log_targets;
mod named;
mod phase;
#[cfg_attr(not(feature = "kinds"), allow(dead_code, reason = "some kinds have no texts to clean"))]
mod redaction;
mod run;
mod secret;
mod sink;
mod vocabulary;

#[cfg(feature = "tls")]
pub(crate) use byte_order_mark::without_byte_order_mark;
pub use calls::Calls;
pub use check::{CheckInfo, Gates, Measurement, Server};
pub use details::Details;
pub use named::{NameError, Unit};
pub use phase::{Phase, PhaseName};
#[cfg(any(feature = "otlp", feature = "session", feature = "sql-pool"))]
pub(crate) use redaction::Redaction;
pub(crate) use redaction::{redacted, redacted_text};
pub use run::{Run, Trace, Transition};
pub use secret::Secret;
pub(crate) use sink::catch_sink_panic;
pub use sink::{Event, Sink};
pub use vocabulary::{Gate, Outcome, Reason, ServiceStatus, SkipReason, Status};
