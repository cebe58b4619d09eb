//! Finds the cause in a chain that says something about the dependency.

use std::error::Error;

use super::cause::{failed, reason_of_cause};
use crate::engine::check::causes;
use crate::health::observe::observation::Observation;

/// Judges `error` by the first of its causes that says something.
pub(super) fn of_chain(error: &(dyn Error + 'static)) -> Observation {
    causes(error)
        .find_map(|cause| of_client(cause).or_else(|| of_cause(error, cause)))
        .unwrap_or(Observation::Ignored)
}

/// What an error of a known client says; `None` leaves it to what caused it.
#[allow(unused_variables, reason = "a build without clients knows none")]
fn of_client(error: &(dyn Error + 'static)) -> Option<Observation> {
    #[cfg(feature = "sql-pool")]
    if let Some(error) = error.downcast_ref() {
        return Some(super::sql::judge(error));
    }
    #[cfg(feature = "redis-client")]
    if let Some(error) = error.downcast_ref() {
        return Some(super::redis::judge(error));
    }
    #[cfg(feature = "reqwest-client")]
    if let Some(error) = error.downcast_ref() {
        return Some(super::reqwest::judge(error));
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = error.downcast_ref() {
        return Some(super::tonic::judge(status));
    }
    None
}

fn of_cause(whole: &(dyn Error + 'static), cause: &(dyn Error + 'static)) -> Option<Observation> {
    reason_of_cause(cause).map(|reason| failed(reason, whole))
}
