//! The `heartbeat` kind: it waits for heartbeats instead of asking.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Period, SHORT_TOKEN, Secret};
use crate::engine::check::{Check, HEARTBEAT_AGE, Heartbeat};
use crate::model::Measurement;

/// Nothing is asked: what is watched, such as a nightly job, sends `POST /heartbeat/{check}` with
/// `Authorization: Bearer TOKEN` when all is well, and the check fails with `missed_heartbeat`
/// when no heartbeat comes for `grace`. GET, HEAD and PUT do the same, and the token may also come
/// as the password of Basic authentication or as `?token=`. The first 10 KiB of a body, such as the
/// job's log, are shown as the message of the check's runs.
///
/// Its runs only look at the age of the last heartbeat, so it is down `failure_threshold` runs
/// after the grace is over; a `failure_threshold` of 1 makes that the next run. A heartbeat after a
/// silence triggers a run at once. Before the first heartbeat since the start it is `unknown` for
/// the grace. Since an unknown check keeps `/ready` at 503, give a check of a job `gates = []`. A
/// changed declaration keeps the last heartbeat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatOptions {
    /// Longest time between heartbeats, such as `"25h"` for a daily job.
    grace: Period,
    /// Token that a heartbeat needs; one of under 4 characters is warned about.
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
