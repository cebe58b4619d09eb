//! The series of groups of checks in a recorder.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::metrics::Gauge;

use super::recorder::LabelledRecorder;
use super::{names, number};
use crate::engine::state::ServiceCounts;
use crate::model::ServiceStatus;

/// The series of every group that the recorder was given.
#[derive(Default)]
pub(super) struct RecordedGroups(BTreeMap<Arc<str>, RecordedGroup>);

/// A gauge for each status of one group, and the status that they show; none once it is gone.
struct RecordedGroup {
    gauges: Vec<Gauge>,
    shown: Option<ServiceStatus>,
}

impl RecordedGroups {
    /// Sets the series of every group whose status differs from what they show.
    pub(super) fn show(&mut self, recorder: &LabelledRecorder, tally: &ServiceCounts) {
        for (name, group) in &mut self.0 {
            if tally.group(name).is_none() {
                group.withdraw();
            }
        }
        for (name, status) in tally.groups() {
            if !self.0.contains_key(name) {
                self.0.insert(Arc::clone(name), RecordedGroup::new(recorder, name));
            }
            if let Some(group) = self.0.get_mut(name) {
                group.show(status);
            }
        }
    }

    /// Ends the series of every group.
    pub(super) fn withdraw(&mut self) {
        self.0.values_mut().for_each(RecordedGroup::withdraw);
    }
}

impl RecordedGroup {
    fn new(recorder: &LabelledRecorder, name: &Arc<str>) -> Self {
        let gauge = |status: &ServiceStatus| {
            let labels = recorder.common().with("group", name.to_string());
            recorder.gauge(&names::GROUP_STATUS, labels.with("status", status.as_str()))
        };
        Self { gauges: ServiceStatus::ALL.iter().map(gauge).collect(), shown: None }
    }

    fn show(&mut self, status: ServiceStatus) {
        if self.shown == Some(status) {
            return;
        }
        for (gauge, one) in self.gauges.iter().zip(ServiceStatus::ALL) {
            gauge.set(number(*one == status));
        }
        self.shown = Some(status);
    }

    fn withdraw(&mut self) {
        if self.shown.take().is_some() {
            self.gauges.iter().for_each(|gauge| gauge.set(f64::NAN));
        }
    }
}
