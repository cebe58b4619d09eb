//! Judges a cluster and a topic by the expectations.

use crate::engine::check::{Context, Detail, Failure};
use crate::model::{Measurement, Reason};
use crate::net::Endpoint;

use super::codec::{Cluster, Topic};

/// How many brokers there are.
pub(super) static BROKERS: Measurement =
    Measurement { name: "brokers", help: "Brokers of a cluster that are alive." };

/// Partitions of a topic with missing replicas.
pub(super) static UNDER_REPLICATED: Measurement = Measurement {
    name: "under_replicated_partitions",
    help: "Partitions of a topic of which a replica is not in sync.",
};

/// The error codes of the protocol that a topic may have and that say more than that it fails.
const UNKNOWN_TOPIC: i16 = 3;
const NOT_AUTHORIZED: i16 = 29;

/// What the cluster must be.
#[derive(Debug)]
pub(super) struct Expect {
    /// A topic that must exist, with a leader for each partition.
    pub(super) topic: Option<String>,
    pub(super) min_brokers: Option<u32>,
}

impl Expect {
    /// Measures what the broker `at` reports of its `cluster`, and judges it.
    ///
    /// An empty list of brokers is not a measurement: a broker that has not joined its cluster
    /// knows no broker, not even itself, and answers anyway.
    pub(super) fn judge(
        &self,
        cx: &Context,
        at: &Endpoint,
        cluster: &Cluster,
    ) -> Result<Detail, Failure> {
        let count = cluster.brokers;
        if count == 0 {
            let text = format!("{at} knows no broker of its cluster, not even itself");
            return Err(Failure::new(Reason::NotServing, text).answered());
        }
        cx.measure(&BROKERS, count.into());
        let caveat = self.topic.as_ref().map(|name| topic(cx, at, name, cluster)).transpose()?;
        if let Some(fewest) = self.min_brokers.filter(|fewest| count < *fewest) {
            let text = format!("{at} knows {count} brokers, below min_brokers, {fewest}");
            return Err(Failure::new(Reason::OutOfRange, text).answered());
        }
        if !cluster.has_controller {
            return Ok(Detail::warning(format!("the cluster of {at} has no controller")));
        }
        Ok(caveat.flatten().map_or_else(Detail::ok, Detail::warning))
    }
}

/// Whether the topic meets the expectations; returns a warning if replicas are missing.
fn topic(
    cx: &Context,
    at: &Endpoint,
    name: &str,
    cluster: &Cluster,
) -> Result<Option<String>, Failure> {
    let Some(topic) = cluster.topics.iter().find(|topic| topic.name == name) else {
        let text = format!("{at} tells nothing of the topic {name}");
        return Err(Failure::new(Reason::UnexpectedBody, text).answered());
    };
    let Topic { error, partitions, leaderless, under_replicated, without_replicas, .. } = topic;
    match *error {
        UNKNOWN_TOPIC => {
            let text = format!("{at} has no topic {name}");
            return Err(Failure::new(Reason::NotServing, text));
        }
        NOT_AUTHORIZED => {
            let text = format!("{at} does not let this user see the topic {name}");
            return Err(Failure::new(Reason::AuthFailed, text));
        }
        0 if *partitions == 0 => {
            let text = format!("{at} knows no partition of the topic {name}");
            return Err(Failure::new(Reason::NotServing, text).answered());
        }
        // A partition without a leader is judged below, with the number of partitions.
        0 => {}
        code if *partitions == 0 => {
            let text = format!("{at} answered to the topic {name} with error {code}");
            return Err(Failure::new(Reason::NotServing, text));
        }
        _ => {}
    }
    if *without_replicas == 0 {
        cx.measure(&UNDER_REPLICATED, (*under_replicated).into());
    }
    if *leaderless > 0 {
        let text = format!("{leaderless} of {partitions} partitions of {name} have no leader");
        return Err(Failure::new(Reason::NotServing, text).answered());
    }
    if *without_replicas > 0 {
        let text = format!(
            "{at} names no replicas of {without_replicas} of {partitions} partitions of {name}, so \
             that it cannot be told whether they are in sync"
        );
        return Ok(Some(text));
    }
    let caveat = format!(
        "{under_replicated} of {partitions} partitions of {name} have a replica out of sync"
    );
    Ok((*under_replicated > 0).then_some(caveat))
}
