//! The part of another vitalsign's status document that the check reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::engine::check::is_check_name;
use crate::model::{Reason, ServiceStatus, Status};
use crate::net::json;

/// Most checks that a summary names.
const NAMED: usize = 5;

/// A status document. Its other fields are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) status: ServiceStatus,
    checks: BTreeMap<String, Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    status: Status,
    #[serde(default)]
    last_run: Option<LastRun>,
}

/// Its reason is absent without the right to details.
#[derive(Debug, Deserialize)]
struct LastRun {
    /// Another version may have reasons that this one does not know.
    #[serde(default)]
    reason: Option<serde_json::Value>,
}

impl Check {
    fn reason(&self) -> Option<Reason> {
        let reason = self.last_run.as_ref()?.reason.clone()?;
        serde_json::from_value(reason).ok()
    }
}

impl Document {
    /// Reads a document; none where it is not a status document.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        // What is odd beside the point, such as a byte order mark, takes a more lenient reader,
        // which holds the whole document.
        serde_json::from_slice(body).ok().or_else(|| {
            let document = json::Document::read(body)?.into_value();
            serde_json::from_value(document).ok()
        })
    }

    /// How many checks have `status`.
    pub(super) fn count(&self, status: Status) -> usize {
        self.checks.values().filter(|check| check.status == status).count()
    }

    /// `degraded: cache down (connection_refused), vpn unknown`
    pub(super) fn summary(&self) -> String {
        let mut text = self.status.to_string();
        let worst_first = [Status::Down, Status::Unknown, Status::Degraded];
        let with = |status| self.checks.iter().filter(move |(_, check)| check.status == status);
        let not_up: Vec<_> = worst_first.into_iter().flat_map(with).collect();
        for (n, (name, check)) in not_up.iter().take(NAMED).enumerate() {
            // Only names that are valid are shown: any other text could hold a secret.
            let name = if is_check_name(name) { name } else { "a check" };
            let separator = if n == 0 { ": " } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{separator}{name} {}", check.status);
            if let Some(reason) = check.reason() {
                let _ = write!(text, " ({reason})");
            }
        }
        if not_up.len() > NAMED {
            let _ = write!(text, " and {} more", not_up.len() - NAMED);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> Option<String> {
        Document::read(text.as_bytes()).map(|document| document.summary())
    }

    #[test]
    fn a_summary_names_the_worst_first_and_only_a_few() {
        let text = r#"{"status":"down","more":1,"checks":{
            "a":{"status":"degraded","last_run":{"reason":null}}, "b":{"status":"up"},
            "c":{"status":"unknown","last_run":null}, "d":{"status":"down","last_run":{"reason":"timeout"}},
            "e":{"status":"down","last_run":{"reason":"novel"}}, "F x\n":{"status":"down"},
            "g":{"status":"degraded"}}}"#;
        let wanted =
            "down: a check down, d down (timeout), e down, c unknown, a degraded and 1 more";
        assert_eq!(summary(text).as_deref(), Some(wanted));
        let text = r#"{"status":"draining","checks":{"b":{"status":"up"}}}"#;
        assert_eq!(summary(text).as_deref(), Some("draining"));
    }

    #[test]
    fn what_is_odd_beside_the_point_does_not_matter() {
        for text in [
            "\u{feff}{\"status\":\"up\",\"checks\":{}}",
            r#"{"status":"up","checks":{},"note":"\ud83d","\ud83d":1e999}"#,
            r#"{"status":"up","checks":{"a":{"status":"up","last_run":{"reason":"\ud83d"}}}}"#,
        ] {
            assert_eq!(summary(text).as_deref(), Some("up"), "{text}");
        }
    }

    #[test]
    fn what_is_no_status_document_is_none() {
        for text in [
            "",
            "[]",
            r#"{"status":"up"}"#,
            r#"{"checks":{}}"#,
            r#"{"status":"fine","checks":{}}"#,
            r#"{"status":"up","checks":{"a":"up"}}"#,
            r#"{"status":"up","checks":{"a":{"status":"well"}}}"#,
        ] {
            assert_eq!(summary(text), None, "{text}");
        }
    }
}
