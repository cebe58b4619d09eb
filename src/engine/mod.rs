//! The engine: runs each check on its own schedule and keeps the resulting state.
//!
//! Input: a plan of declared checks. Output: the events that sinks receive, and the health state
//! that every probe, page and metric reads.
//!
//! ```text
//! check ──► plan ──► scheduler ──► run ──► state
//! (trait,   (rules,  (deadlines,   (span,   (the recorder writes,
//!  options)  defaults) one task each) timeout) everybody reads)
//! ```

#[cfg(any(feature = "grpc", feature = "http", feature = "reqwest-client"))]
mod carrier;
pub mod check;
#[cfg(feature = "maintenance")]
mod maintenance;
mod plan;
mod run;
mod scheduler;
pub mod state;
pub mod traces;
#[cfg(feature = "maintenance")]
mod window;

#[cfg(any(feature = "grpc", feature = "http", feature = "reqwest-client"))]
pub(crate) use carrier::Carrier;
#[cfg(feature = "maintenance")]
pub(crate) use maintenance::Maintenance;
pub use plan::{Defaults, PlanError};
pub(crate) use plan::{add, plan, refuse_labels, remove, replace, schedule};
pub use run::Propagator;
pub(crate) use run::Tracing;
#[cfg(feature = "bench")]
pub(crate) use run::run;
pub use scheduler::{Changes, Revision};
pub(crate) use scheduler::{Scheduled, Scheduler};
#[cfg(feature = "maintenance")]
pub use window::{Day, Window, WindowError};
#[cfg(feature = "config")]
pub(crate) use window::{length, moment, time_of_day, time_zone};
