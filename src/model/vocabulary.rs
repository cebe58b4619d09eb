//! The fixed sets of values: statuses, outcomes, reasons, gates, phases.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// Status of a check.
    Status {
        /// It answers as it should.
        Up = "up",
        /// It answers, with a warning; every probe still answers 200.
        Degraded = "degraded",
        /// It fails; the probes that it gates answer 503.
        Down = "down",
        /// It has not run yet, or not recently enough.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// Status of the service, or of one probe.
    ServiceStatus {
        /// Every check is up.
        Up = "up",
        /// It serves, but at least one check is not up.
        Degraded = "degraded",
        /// A check gating readiness has not had its first run.
        Starting = "starting",
        /// It received the signal to stop and finishes what it has begun.
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
        /// The run could not be made, because this process lacks a resource.
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

    /// The status that follows from this outcome alone, as for the first run of a check.
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
    /// Why a run failed: the fixed list shared by metrics, spans and the status document.
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
        /// No trusted authority has issued the certificate.
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
        /// A measurement is outside its `min_…` or `max_…`.
        OutOfRange = "out_of_range",
        /// No heartbeat came within its grace.
        MissedHeartbeat = "missed_heartbeat",
        /// The check itself panicked.
        Panic = "panic",
        /// Anything else.
        Other = "other",
        /// This process lacks a resource; the outcome is [`Outcome::Unknown`], not a failure.
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
    /// Why a due run was not started.
    SkipReason {
        /// The check's last run was still in progress.
        Overrun = "overrun",
        /// The highest number of concurrent runs was reached.
        Limit = "limit",
    }
}
