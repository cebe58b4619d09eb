//! [`CheckInfo`] and its parts: the declaration of a check, the probes that it gates, its
//! measurements.

use std::collections::BTreeMap;
use std::fmt;
#[cfg(any(feature = "mysql-pool", feature = "postgres-pool"))]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::vocabulary::Gate;

/// A measurement of a kind, such as a replication lag: one metric, one key of `measurements`.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Measurement {
    /// Name in base units, without prefix: `replication_lag_seconds`.
    pub name: &'static str,
    /// What it measures, as the metric's help text.
    pub help: &'static str,
}

/// The name, kind and options of a check. It does not change during the life of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckInfo {
    /// Unique name: `[a-z0-9][a-z0-9_-]{0,62}`.
    pub name: Arc<str>,
    /// The kind's name, such as `postgres`.
    pub kind: &'static str,
    /// For people, on the page.
    pub description: Option<String>,
    /// The probes it gates.
    pub gates: Gates,
    /// Checks that it depends on: while one of them is down, its alerts are suppressed.
    pub depends_on: Vec<Arc<str>>,
    /// The groups it belongs to, sorted by name, each once.
    pub groups: Vec<Arc<str>>,
    /// Shown only on `health_check_info` and in the status document.
    pub labels: BTreeMap<String, String>,
    /// Time from one due run to the next.
    pub interval: Duration,
    /// Longest time of one run; after that the run is cancelled.
    pub timeout: Duration,
    /// Failed runs in a row that make it down.
    pub failure_threshold: u32,
    /// Good runs in a row that bring it back.
    pub success_threshold: u32,
    /// A success slower than this is a warning.
    pub degraded_after: Option<Duration>,
    /// Percent of good runs wanted over 30 days.
    pub objective: Option<f64>,
    /// Whether the trace context is sent to the dependency.
    pub propagate: bool,
    /// Host and port of the dependency, if there is one, for `health_check_info` and client spans.
    pub server: Option<Server>,
}

impl CheckInfo {
    /// The objective as a ratio, rounded to 9 decimals so that 99.9 % is 0.999.
    #[must_use]
    pub fn objective_ratio(&self) -> Option<f64> {
        self.objective.map(|percent| (percent * 1e7).round() / 1e9)
    }
}

/// The address of a dependency as configured, never with credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name, address or socket path.
    pub address: String,
    /// Port, where the transport has one.
    pub port: Option<u16>,
}

impl Server {
    /// Where a database is: by its socket, which a host that begins with `/` is too, or by host and
    /// port.
    #[cfg(any(feature = "mysql-pool", feature = "postgres-pool"))]
    pub(crate) fn of_database(host: &str, socket: Option<&Path>, port: u16) -> Self {
        match socket {
            Some(path) => Self { address: path.display().to_string(), port: None },
            None if host.starts_with('/') => Self { address: host.to_owned(), port: None },
            None => Self { address: host.to_owned(), port: Some(port) },
        }
    }

    /// Host and port for people, or the path of a socket.
    #[cfg(feature = "sql-pool")]
    pub(crate) fn place(&self) -> String {
        match self {
            Self { address, port: Some(port) } if address.contains(':') => {
                format!("[{address}]:{port}")
            }
            Self { address, port: Some(port) } => format!("{address}:{port}"),
            Self { address, port: None } => address.clone(),
        }
    }
}

/// The set of probes that a check gates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Gates(u8);

impl Gates {
    /// No probe: an informative check.
    pub const NONE: Self = Self(0);
    /// Readiness alone, the default.
    pub const READY: Self = Self(1 << Gate::Ready as u8);

    /// This set and `gate`.
    #[must_use]
    pub const fn with(self, gate: Gate) -> Self {
        Self(self.0 | 1 << gate as u8)
    }

    /// Whether `gate` is in the set.
    #[must_use]
    pub const fn contains(self, gate: Gate) -> bool {
        self.0 & (1 << gate as u8) != 0
    }

    /// Whether the check is informative.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The gates in the set, sorted by name.
    pub fn iter(self) -> impl Iterator<Item = Gate> {
        Gate::ALL.iter().copied().filter(move |g| self.contains(*g))
    }
}

impl FromIterator<Gate> for Gates {
    fn from_iter<I: IntoIterator<Item = Gate>>(gates: I) -> Self {
        gates.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Gate::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_iterate_sorted_by_name() {
        let gates: Gates = [Gate::Startup, Gate::Ready, Gate::Health].into_iter().collect();
        let names: Vec<_> = gates.iter().map(Gate::as_str).collect();
        assert_eq!(names, ["health", "ready", "startup"]);
        assert!(Gates::NONE.is_empty() && Gates::READY.contains(Gate::Ready));
        assert!(!Gates::READY.contains(Gate::Health));
    }
}
