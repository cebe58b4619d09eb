//! vitalsign
pub mod check;
pub mod checks;
pub mod config;
mod health;
pub mod model;
pub mod net;
mod plan;
pub(crate) mod run;
mod scheduler;
pub mod state;
pub mod traces;
pub use check::{Check, Context, Declared, Detail, Failure, Options, every, from_fn};
pub use health::{BuildError, Builder, Details, Health};
pub use model::*;
pub use plan::{Defaults, PlanError};
pub use run::Propagator;
pub use state::{Answer, CheckView, HealthState, ServiceInfo, Snapshot};
