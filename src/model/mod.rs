//! The words of the crate, as types: what a check is, what one run of it yields, and what its
//! runs add up to.
//!
//! Everything else speaks in these; this module imports nothing of ours. Closed vocabularies are
//! enums whose [`as_str`](Status::as_str) is the exact text that probes, metrics, spans and the
//! status document show.

mod calls;
mod details;
mod secret;
mod sink;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub use calls::Calls;
pub use details::Details;
pub use secret::Secret;
pub(crate) use sink::spared;
pub use sink::{Event, Sink};

/// Declares an enum with its closed list of texts, so that the list is written once.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The text shown to users, exactly as in the metric label or JSON value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// What a check's outcomes add up to.
    Status {
        /// It answers as it should.
        Up = "up",
        /// It answers, with a caveat; every probe still says 200.
        Degraded = "degraded",
        /// It fails; the probes it gates say 503.
        Down = "down",
        /// It has not been asked, or not lately enough to know.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// What all checks add up to, for the service or for one probe.
    ServiceStatus {
        /// Every check is up.
        Up = "up",
        /// It serves, but some check is not up.
        Degraded = "degraded",
        /// A check gating readiness has not had its first run.
        Starting = "starting",
        /// It was told to stop and finishes what it has begun.
        Draining = "draining",
        /// A gating check is down, or the check runtime has stopped.
        Down = "down",
    }
}

impl ServiceStatus {
    /// Whether a probe with this status answers 200.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Up | Self::Degraded)
    }
}

vocabulary! {
    /// The result of one run.
    Outcome {
        /// It answered as expected and in time.
        Success = "success",
        /// It answered, but slowly or with a caveat.
        Warning = "warning",
        /// It refused, or answered what was not expected.
        Failure = "failure",
        /// It did not answer within the check's timeout.
        Timeout = "timeout",
        /// It could not be asked, for want of a resource on this side.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// Success or warning: the dependency served.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Success | Self::Warning)
    }

    /// Failure or timeout: the dependency did not serve.
    #[must_use]
    pub const fn is_failed(self) -> bool {
        matches!(self, Self::Failure | Self::Timeout)
    }

    /// The status that it stands for on its own, as the first run of a check or the only one.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Success => Status::Up,
            Self::Warning => Status::Degraded,
            Self::Failure | Self::Timeout => Status::Down,
            Self::Unknown => Status::Unknown,
        }
    }
}

vocabulary! {
    /// Why a run failed: the closed list shared by metrics, spans and the status document.
    Reason {
        /// No answer within the timeout.
        Timeout = "timeout",
        /// Nothing listens there.
        ConnectionRefused = "connection_refused",
        /// The peer ended the connection before it had answered.
        ConnectionReset = "connection_reset",
        /// No route to the host or network.
        Unreachable = "unreachable",
        /// The name does not exist.
        DnsNotFound = "dns_not_found",
        /// The name could not be looked up.
        DnsFailed = "dns_failed",
        /// The TLS handshake failed for a reason other than the three below.
        TlsFailed = "tls_failed",
        /// A certificate of the chain has expired or is not yet valid.
        TlsExpired = "tls_expired",
        /// No trusted authority vouches for the certificate.
        TlsUntrusted = "tls_untrusted",
        /// The certificate is for another name.
        TlsNameMismatch = "tls_name_mismatch",
        /// Credentials are missing or wrong.
        AuthFailed = "auth_failed",
        /// It is at a limit of its own, such as its number of connections.
        Overloaded = "overloaded",
        /// It answered with another status than expected.
        UnexpectedStatus = "unexpected_status",
        /// It answered with other content than expected.
        UnexpectedBody = "unexpected_body",
        /// Its answer exceeds the bound on what a check reads.
        TooLarge = "too_large",
        /// It does not speak the protocol.
        Protocol = "protocol",
        /// It redirects more often than a check follows.
        TooManyRedirects = "too_many_redirects",
        /// It answers that it does not serve now.
        NotServing = "not_serving",
        /// The query was refused or failed.
        QueryFailed = "query_failed",
        /// A figure lies outside its `min_…` or `max_…`.
        OutOfRange = "out_of_range",
        /// No heartbeat came within its grace.
        MissedHeartbeat = "missed_heartbeat",
        /// The check itself panicked.
        Panic = "panic",
        /// Anything else.
        Other = "other",
        /// This side lacks a resource; the outcome is [`Outcome::Unknown`], no failure.
        LocalResource = "local_resource",
    }
}

vocabulary! {
    /// A probe that a check may gate.
    Gate {
        /// Liveness, `/health`.
        Health = "health",
        /// Readiness, `/ready`.
        Ready = "ready",
        /// Startup, `/startup`.
        Startup = "startup",
    }
}

vocabulary! {
    /// A step of a run over the network, timed on its own.
    Phase {
        /// Looking up the name.
        Resolve = "resolve",
        /// Opening the transport connection.
        Connect = "connect",
        /// The TLS handshake.
        Tls = "tls",
        /// From the first byte sent to the first byte of the answer.
        Request = "request",
        /// Reading the rest of the answer.
        Transfer = "transfer",
    }
}

vocabulary! {
    /// Why a due run was not started.
    SkipReason {
        /// The check's last run was still going.
        Overrun = "overrun",
        /// As many runs as allowed at once were going.
        Limit = "limit",
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

/// A figure of a kind's own, such as a replication lag: one metric, one key of `measurements`.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Measurement {
    /// Name in base units, without prefix: `replication_lag_seconds`.
    pub name: &'static str,
    /// What it tells, as the metric's help text.
    pub help: &'static str,
}

/// What a check is and when its runs add up to a status. Fixed for the life of a plan.
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
    /// Checks whose being down suppresses this one's alerts.
    pub depends_on: Vec<Arc<str>>,
    /// Shown on `health_check_info` and in the status document alone.
    pub labels: BTreeMap<String, String>,
    /// Time from one due run to the next.
    pub interval: Duration,
    /// Longest one run may take; past it the run is cancelled.
    pub timeout: Duration,
    /// Failed runs in a row that make it down.
    pub failure_threshold: u32,
    /// Good runs in a row that bring it back.
    pub success_threshold: u32,
    /// A success slower than this is a warning.
    pub degraded_after: Option<Duration>,
    /// Percent of good runs wanted over 30 days.
    pub objective: Option<f64>,
    /// Whether the dependency is sent the trace context.
    pub propagate: bool,
    /// Host and port asked, where there is one, for `health_check_info` and client spans.
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

/// The span of a run, by its identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes; shown as 32 hexadecimal digits.
    pub trace_id: u128,
    /// 8 bytes of the root span.
    pub span_id: u64,
    /// Whether the context that went to the dependency said sampled.
    pub sampled: bool,
}

impl Trace {
    /// The trace id as 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span id as 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn span_id_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

/// One finished execution of a check: the single source of every figure about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Wall-clock time of its start.
    pub at: SystemTime,
    /// From start to answer, connection included.
    pub duration: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it failed; set exactly when the outcome is neither success nor warning.
    pub reason: Option<Reason>,
    /// For people, redacted: the cause of a failure, or the caveat of a warning.
    pub message: Option<String>,
    /// Its root span, where spans are recorded.
    pub trace: Option<Trace>,
    /// The phases it passed, in order.
    pub phases: Vec<(Phase, Duration)>,
    /// The kind's own figures.
    pub measurements: Vec<(&'static Measurement, f64)>,
}

/// A change of a check's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Grows with every change, across restarts too as long as the clock does: microseconds since
    /// 1970, or one more than the last.
    pub id: u64,
    /// Status before.
    pub from: Status,
    /// Status after.
    pub to: Status,
    /// When it changed.
    pub at: SystemTime,
    /// Reason of the run that made it, where one did.
    pub reason: Option<Reason>,
    /// Message of that run.
    pub message: Option<String>,
    /// Trace of that run.
    pub trace: Option<Trace>,
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

    #[test]
    fn trace_ids_keep_their_leading_zeros() {
        let trace = Trace { trace_id: 0xab, span_id: 0xcd, sampled: true };
        assert_eq!(trace.trace_id_hex(), "000000000000000000000000000000ab");
        assert_eq!(trace.span_id_hex(), "00000000000000cd");
    }
}
