//! Writes the metric families of the service as a whole.

use std::sync::Arc;

use super::names;
use super::page::Page;
use crate::engine::state::HealthState;
use crate::model::ServiceStatus;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const RUSTC_VERSION: &str = env!("VITALSIGN_RUSTC_VERSION");

/// The commit that this was built from, if the build set it.
const REVISION: &str = match option_env!("VITALSIGN_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// Labels of `health_build_info`.
pub(super) fn build() -> [(&'static str, &'static str); 3] {
    [("version", VERSION), ("revision", REVISION), ("rustc_version", RUSTC_VERSION)]
}

/// Writes all of them; `checks` is the number of checks in the plan.
pub(super) fn write(page: &mut Page, state: &HealthState, checks: usize) {
    let (status, probes, groups) = {
        let tally = state.tally();
        let probes = [
            (&names::READY, tally.ready()),
            (&names::LIVE, tally.healthy()),
            (&names::STARTED, tally.started()),
            (&names::DRAINING, tally.draining()),
        ];
        let groups: Vec<_> = tally.groups().map(|(group, one)| (Arc::clone(group), one)).collect();
        (tally.status(), probes, groups)
    };
    let common = state.labels().text();
    let comma = if common.is_empty() { "" } else { "," };
    let labels = [common];
    let labels = if common.is_empty() { &[][..] } else { &labels };
    page.metric(&names::STATUS, |page, name| {
        for one in ServiceStatus::ALL {
            let labels = [common, comma, "status=\"", one.as_str(), "\""];
            page.sample(name, &labels, *one == status);
        }
    });
    for (metric, yes) in probes {
        page.metric(metric, |page, name| page.sample(name, labels, yes));
    }
    page.metric(&names::GROUP_STATUS, |page, name| {
        for (group, status) in &groups {
            for one in ServiceStatus::ALL {
                let labels = [common, comma, "group=\"", group, "\",status=\"", one.as_str(), "\""];
                page.sample(name, &labels, one == status);
            }
        }
    });
    page.metric(&names::CHECKS_CONFIGURED, |page, name| page.sample(name, labels, checks as u64));
    let delays = state.delays().clone();
    page.metric(&names::SCHEDULING_DELAY, |page, name| page.histogram(name, common, &delays));
    page.metric(&names::BUILD_INFO, |page, name| page.info(name, common, build()));
}
