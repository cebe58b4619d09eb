//! The `heartbeat` kind: it waits for heartbeats instead of asking.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Period, SHORT_TOKEN, Secret};
use crate::engine::check::{Check, HEARTBEAT_AGE, Heartbeat};
use crate::model::Measurement;

/// A job, such as a nightly backup, sends `POST /heartbeat/{check}` with
/// `Authorization: Bearer TOKEN` when it has succeeded. The check fails with `missed_heartbeat` if
/// no heartbeat arrives for `grace`. GET, HEAD and PUT do the same, and the token may also be the
/// password of Basic authentication or `?token=`. The first 10 KiB of a body, such as the job's
/// log, are shown as the message of the check's runs.
///
/// A run only checks the age of the last heartbeat, so the check is down `failure_threshold` runs
/// after the end of `grace`; with a `failure_threshold` of 1 after the next run. A late heartbeat
/// triggers a run at once. After the start, the check is `unknown` until its first heartbeat or the
/// end of `grace`. An unknown check that gates `ready` keeps `/ready` at 503, so set `gates = []`
/// for a job. A changed declaration keeps the last heartbeat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatOptions {
    /// Longest time between heartbeats, such as `"25h"` for a daily job.
    grace: Period,
    /// Token that a heartbeat needs; a token with less than 4 characters causes a warning.
    token: Secret,
}

impl KindOptions for HeartbeatOptions {
    const NAME: &'static str = "heartbeat";
    const SUMMARY: &'static str = "nothing: a job reports by `POST /heartbeat/{check}`";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&HEARTBEAT_AGE];

    fn warnings(&self) -> Vec<OptionError> {
        let short = !self.token.expose().is_empty() && self.token.is_too_short();
        if short { vec![OptionError::new("token", SHORT_TOKEN)] } else { Vec::new() }
    }

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let token = self.token.expose();
        let wrong = if token.is_empty() {
            "the token is empty; write one that nobody guesses"
        } else if token.trim() != token || !token.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            "the token holds what no header can; write ASCII without spaces around it"
        } else {
            return Ok(Arc::new(Heartbeat::new(self.grace.0, token)));
        };
        Err(vec![OptionError::new("token", wrong)])
    }
}
