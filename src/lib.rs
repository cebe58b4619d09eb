//! vitalsign
pub mod check;
pub mod checks;
pub mod config;
pub mod keep;
pub mod model;
pub mod net;
pub mod telemetry;
pub mod traces;
pub use check::{Check, Context, Declared, Detail, Failure, every, from_fn};
pub use model::*;
