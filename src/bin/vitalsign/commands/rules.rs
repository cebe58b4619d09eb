//! The command that prints alert and recording rules for Prometheus: `rules`.

use std::path::PathBuf;

use vitalsign::config::{HistoryPlace, Loaded};
use vitalsign::rules::{Job, Links, Part, Rules};
use vitalsign::telemetry::Telemetry;

use super::print;
use crate::exit::{CONFIGURATION, fail};
use crate::reload::Source;
use crate::serve;

/// `vitalsign rules --generic`
pub(crate) fn generic_rules(job: &Job, links: &Links) -> u8 {
    print(&Rules::generic_with(job, links).to_string())
}

/// `vitalsign rules`
pub(crate) fn fitted_rules(config: Option<PathBuf>, job: &Job, links: &Links) -> u8 {
    let loaded = match serve::load(&Source::new(config, None)) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let parts = match parts(&loaded) {
        Ok(parts) => parts,
        Err(code) => return code,
    };
    match Rules::of_configuration(job, &loaded, &parts, links) {
        Ok(rules) => print(&rules.to_string()),
        Err(error) => fail(CONFIGURATION, &error.to_string()),
    }
}

/// What the service would do with this configuration and these variables, beside its checks.
fn parts(loaded: &Loaded) -> Result<Vec<Part>, u8> {
    let telemetry = Telemetry::read(&(&loaded.settings).into(), |name| std::env::var(name).ok());
    let telemetry = telemetry.map_err(|error| fail(CONFIGURATION, &error.to_string()))?;
    let traces = telemetry.sends_traces().then_some(Part::Traces);
    let keeps_history = loaded.settings.history.place != HistoryPlace::Off;
    let history = keeps_history.then_some(Part::History);
    Ok([Part::Configuration, Part::Process].into_iter().chain(history).chain(traces).collect())
}
