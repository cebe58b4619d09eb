//! vitalsign
pub mod check;
pub mod checks;
pub mod config;
mod health;
mod http;
pub mod metrics;
pub mod model;
pub mod net;
mod plan;
pub(crate) mod run;
mod scheduler;
pub mod state;
pub mod traces;
pub use check::{Check, Context, Declared, Detail, Failure, every, from_fn};
pub use health::{BuildError, Builder, Details, Health};
pub use model::*;
