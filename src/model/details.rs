//! The rule of who sees causes.

use serde::{Deserialize, Serialize};

/// Who sees causes and figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Details {
    /// Clients on this host that no proxy forwarded, and those with the token.
    #[default]
    Auto,
    /// Everyone; only on a listener that no other host can reach.
    Always,
    /// Nobody.
    Never,
}
