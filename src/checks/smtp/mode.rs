//! Whether and how TLS is spoken.

use schemars::JsonSchema;
use serde::Deserialize;

/// Whether and how TLS is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SmtpMode")]
pub(super) enum Mode {
    /// No TLS.
    #[default]
    Plain,
    /// TLS after `STARTTLS`, which the server must offer, as on ports 25 and 587.
    Starttls,
    /// TLS from the start, as on port 465.
    Tls,
}
