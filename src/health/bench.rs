//! Access for benchmarks to the engine, with the feature `bench`; not a part of the public
//! interface.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine;
use crate::engine::check::{Check, from_fn};
use crate::engine::state::{Entry, HealthState, Planned, ServiceInfo, Setup};
use crate::engine::{Defaults, plan};
use crate::history::{self, HistoryOptions};
use crate::model::{Gates, Outcome, Run};

/// Writes the past of `checks`, each asked every ten seconds for so many `days` up to now and down
/// once a day, to a store in which they have none.
///
/// # Errors
/// What the store says.
pub async fn make_history(
    options: HistoryOptions,
    checks: impl IntoIterator<Item = String>,
    days: u32,
) -> Result<(), String> {
    history::generate(options, checks, days).await
}

/// A state with checks that nothing schedules: runs happen when a benchmark says so.
pub struct Engine {
    state: Arc<HealthState>,
    entries: Vec<Arc<Entry>>,
    check: Arc<dyn Check>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("checks", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine of `checks` checks, every one of which gates readiness.
    ///
    /// # Panics
    /// Never: the checks it makes can be run.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a benchmark that cannot be set up has to end")]
    pub fn new(checks: usize) -> Self {
        let nothing = || from_fn(|| ready(Ok::<_, std::io::Error>(())));
        let named = (0..checks).map(|i| (format!("check-{i}"), nothing())).collect();
        let scheduled = plan(named, &Defaults::default()).expect("they can be run");
        let check = Arc::clone(&scheduled.first().expect("at least one").check);
        let state = Arc::new(HealthState::new(Setup {
            service: ServiceInfo {
                name: "bench".into(),
                version: "0".into(),
                instance: "bench".into(),
                environment: None,
            },
            keeps_tail: false,
            trace_url: None,
            labels: crate::engine::state::Labels::default(),
            series_sink: None,
            sinks: Vec::new(),
            remembered: crate::engine::state::Remembered::default(),
            tolerated_ticks: 30,
        }));
        debug_assert!(scheduled.iter().all(|s| s.info.gates == Gates::READY));
        let entries = state.apply(scheduled.into_iter().map(|s| Planned::New(s.info)).collect());
        Self { state, entries, check }
    }

    /// Folds one outcome of check `index` in and publishes it.
    pub fn fold(&self, index: usize, outcome: Outcome) {
        let run = Run {
            at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(3),
            outcome,
            reason: None,
            message: None,
            trace: None,
            phases: Vec::new(),
            measurements: Vec::new(),
        };
        self.state.record(&self.entries[index % self.entries.len()], run, false);
    }

    /// Runs check `index`, which does nothing, with all that surrounds a run.
    pub async fn run(&self, index: usize) {
        let entry = &self.entries[index % self.entries.len()];
        engine::run(&*self.check, entry, &self.state, &engine::Tracing::default()).await;
    }
}
