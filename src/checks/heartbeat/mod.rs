//! The `heartbeat` kind: it waits for heartbeats instead of asking.
//!
//! The check itself is the engine's, because a host can beat it without a configuration. Here are
//! its options, and the schedules that they may name.

mod cron;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use self::cron::{Cron, Local};
use crate::config::{KindOptions, OptionError, Period, SHORT_TOKEN, Secret};
use crate::engine::check::{Check, HEARTBEAT_AGE, Heartbeat, Schedule};
use crate::engine::time_zone;
use crate::model::Measurement;

/// How late a run of a schedule may be, where `grace` does not say.
const GRACE: Duration = Duration::from_mins(5);

/// Nothing is asked: what is watched, such as a nightly job, sends `POST /heartbeat/{check}` with
/// `Authorization: Bearer TOKEN` when all is well, and the check fails with `missed_heartbeat`
/// when no heartbeat comes for `grace`, or for `grace` after a run of its `schedule`. GET, HEAD and
/// PUT do the same, and the token may also come as the password of Basic authentication or as
/// `?token=`. The first 10 KiB of a body, such as the job's log, are shown as the message of the
/// check's runs.
///
/// `/heartbeat/{check}/start` says that the job has started: the time to its end is the duration of
/// the check's runs. `/fail`, and an exit code from 1 to 255 in its place, say that it has failed,
/// which makes the check down at once, whatever `failure_threshold` says; `?status=fail` and
/// `?success=false` say the same, with a text in `?error=`. `/0` is a success, and `/log` only leaves a
/// message.
///
/// Its runs look at what was heard, so it is down `failure_threshold` runs after a heartbeat is
/// missed; a `failure_threshold` of 1 makes that the next run. A heartbeat after a silence triggers a
/// run at once. Before the first heartbeat it is `unknown` for the grace. Since an unknown check
/// keeps `/ready` at 503, give a check of a job `gates = []`. What was heard survives a restart where
/// a history is kept, and a change of the declaration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatOptions {
    /// Longest time between heartbeats, such as `"25h"` for a daily job; with a `schedule`, the longest
    /// time after a run is due, by default 5 minutes. Needed without a `schedule`.
    grace: Option<Period>,
    /// Token that a heartbeat needs; one of under 4 characters is warned about.
    token: Secret,
    /// When the job runs, as cron writes it, such as `"0 3 * * 1-5"` or `"@daily"`: five fields, with
    /// names of months and days; Sunday is 0 and 7. A time that clocks leave out in spring has no run.
    schedule: Option<String>,
    /// The time zone of the `schedule`, such as `"Europe/Berlin"`. By default UTC.
    timezone: Option<String>,
    /// Longest time from a start to its end, where the job says when it starts.
    max_duration: Option<Period>,
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
        let mut errors = Vec::new();
        if let Err(wrong) = usable(self.token.expose()) {
            errors.push(OptionError::new("token", wrong));
        }
        if self.grace.is_none() && self.schedule.is_none() {
            let missing = "missing; write `grace`, the longest time between heartbeats, such as \"25h\", \
                           or a `schedule`";
            errors.push(OptionError::new("grace", missing));
        }
        let cron = self.schedule.as_deref().map(Cron::parse).transpose();
        let cron = cron.map_err(|wrong| errors.push(OptionError::new("schedule", wrong)));
        let zone = time_zone(self.timezone.as_deref().unwrap_or("UTC"));
        let zone = zone.map_err(|e| errors.push(OptionError::new("timezone", e.to_string())));
        if self.timezone.is_some() && self.schedule.is_none() {
            errors.push(OptionError::new("timezone", "it belongs to a `schedule`; add one"));
        }
        let (Ok(cron), Ok(zone), []) = (cron, zone, errors.as_slice()) else { return Err(errors) };
        let schedule = cron.map(|cron| Box::new(Local { cron, zone }) as Box<dyn Schedule>);
        let grace = self.grace.map_or(GRACE, |grace| grace.0);
        let longest = self.max_duration.map(|longest| longest.0);
        let token = self.token.expose();
        Ok(Arc::new(Heartbeat::expecting(grace, token, schedule, longest)))
    }
}

/// Whether clients can send `token`; else what is wrong with it.
fn usable(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("the token is empty; write one that nobody guesses");
    }
    if token.trim() != token || !token.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err("the token holds what no header can; write ASCII without spaces around it");
    }
    Ok(())
}
