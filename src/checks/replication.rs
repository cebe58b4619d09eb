//! The measurement of the replication lag, shared by the kinds whose servers replicate.

use crate::model::Measurement;

/// The replication lag in seconds.
pub(crate) static REPLICATION_LAG: Measurement = Measurement {
    name: "replication_lag_seconds",
    help: "How far a replica is behind its primary.",
};
