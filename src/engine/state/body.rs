//! The JSON body of a probe's answer.

#[cfg(feature = "openapi")]
use std::collections::BTreeMap;

#[cfg(feature = "openapi")]
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{Answer, CheckView};
use crate::model::ServiceStatus;
#[cfg(feature = "openapi")]
use crate::model::Status;

/// The answer of a probe: its status, then each check that gates it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(rename = "Probe"))]
pub(crate) struct Body<'a> {
    /// The status as this probe sees it.
    status: ServiceStatus,
    #[serde(flatten)]
    checks: Statuses<'a>,
}

/// Each check by its name, with its status.
#[cfg_attr(feature = "openapi", derive(JsonSchema))]
#[cfg_attr(feature = "openapi", schemars(with = "BTreeMap<String, Status>"))]
struct Statuses<'a>(&'a [CheckView]);

impl Serialize for Statuses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|check| (&*check.info.name, check.status)))
    }
}

impl Answer {
    /// The body that the probe answers with: `{"status":"up","database":"up"}`.
    ///
    /// For hosts that serve it by other means than [`Health::router`](crate::Health::router): the
    /// code is 200 while [`status`](Self::status) [is ok](ServiceStatus::is_ok), else 503.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use vitalsign::{Gate, Health};
    ///
    /// let health = Health::builder("orders").build().unwrap();
    /// let ready = health.state().probe(Gate::Ready);
    /// assert!(ready.status.is_ok());
    /// assert_eq!(ready.to_json(), r#"{"status":"up"}"#);
    /// # }
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = Body { status: self.status, checks: Statuses(&self.checks) };
        // Names and statuses alone: they can always be written.
        serde_json::to_string(&body).unwrap_or_default()
    }
}
