//! The `heartbeat` kind: it is told instead of asking.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Period, Secret};
use crate::engine::check::{Check, HEARTBEAT_AGE, Heartbeat};
use crate::model::Measurement;

/// Nothing is asked: what is watched, such as a nightly job, sends `POST /heartbeat/{check}` with
/// `Authorization: Bearer TOKEN` when all is well, and the check fails with `missed_heartbeat`
/// when it hears nothing for `grace`.
///
/// Its runs only look at when it last heard something, so it is down `failure_threshold` runs
/// after the grace is over; a `failure_threshold` of 1 makes that the next run. A heartbeat after a
/// silence is acted upon at once. Before the first one since the start it is `unknown` for the
/// grace. Since an unknown check keeps `/ready` at 503, give one that is told about a job
/// `gates = []`. A changed declaration keeps what was heard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatOptions {
    /// Longest silence that is well, such as `"25h"` for what happens every day.
    grace: Period,
    /// Token that gives the right to tell it.
    token: Secret,
}

impl KindOptions for HeartbeatOptions {
    const NAME: &'static str = "heartbeat";
    const SUMMARY: &'static str = "nothing: it is told by `POST /heartbeat/{check}`";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&HEARTBEAT_AGE];

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
