//! [`Details`]: who sees causes and measurements.

use serde::{Deserialize, Serialize};

/// Who sees causes and measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Details {
    /// `loopback` without a configuration file, `token` with one.
    #[default]
    Auto,
    /// Clients with the token, as bearer token or as password.
    Token,
    /// Clients with the token, and every client on this host unless a proxy header is present.
    Loopback,
    /// Everyone; only on a listener that no other host can reach.
    Always,
    /// Nobody.
    Never,
}

impl Details {
    /// The meaning of `auto` if the configuration comes from a file.
    #[must_use]
    pub const fn in_a_file(self) -> Self {
        match self {
            Self::Auto => Self::Token,
            chosen => chosen,
        }
    }
}
