//! The steps of a run.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// A step of a run, timed on its own: one of a network's, or one that the host has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Looking up the name.
    Resolve,
    /// Opening the transport connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the first byte sent to the first byte of the answer.
    Request,
    /// Reading the rest of the answer.
    Transfer,
    /// A step of the host's; see [`Phase::named`].
    Named(PhaseName),
}

/// The name of a phase that the host has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhaseName(pub(super) &'static str);

impl Phase {
    /// The phases of a network, in their order.
    pub const ALL: &'static [Self] =
        &[Self::Resolve, Self::Connect, Self::Tls, Self::Request, Self::Transfer];

    /// The text shown to users, exactly as in the metric label or JSON value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::Transfer => "transfer",
            Self::Named(name) => name.0,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A name that is not known yet is one that the process gives.
impl<'de> Deserialize<'de> for Phase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).map_err(de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Phase {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Phase".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}
