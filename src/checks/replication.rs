//! The figure of every kind whose servers replicate.

use crate::model::Measurement;

/// How far the replica is behind.
pub(crate) static REPLICATION_LAG: Measurement = Measurement {
    name: "replication_lag_seconds",
    help: "How far a replica is behind its primary.",
};
