//! Why a [`Health`](super::Health) cannot be built.

use crate::engine::PlanError;

/// Why a [`Health`](super::Health) cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The checks cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The call was made outside a runtime.
    #[error("checks need a tokio runtime; build inside of one, or name one with `check_runtime`")]
    NoRuntime,
    /// A share of runs with spans that is none.
    #[error("the share of runs that have spans lies from 0 to 1; give one such as 0.05")]
    RunSpans,
    /// A label that series cannot have.
    #[error("metric label {key:?}: {problem}")]
    MetricLabel {
        /// The label.
        key: String,
        /// What is wrong; what would be right.
        problem: &'static str,
    },
    /// Another [`Health`](super::Health) records the same series to the same recorder.
    #[error(
        "another `Health` records series with the same labels{{{labels}}} to this recorder; give each \
         a label of its own with `metric_label(key, value)`"
    )]
    SameSeries {
        /// The labels of every series that both have: `a="b",c="d"`, or nothing.
        labels: String,
    },
}
