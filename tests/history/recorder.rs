//! Records in a history what the state of one check would.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use vitalsign::{
    CheckInfo, Event, Gates, History, Outcome, Reason, Run, Sink, Status, Trace, Transition,
};

pub(crate) const DURATION: Duration = Duration::from_millis(4);

/// A recorder of one check, as a sink sees it.
pub(crate) struct Recorder {
    sink: Arc<dyn Sink>,
    info: Arc<CheckInfo>,
    status: Cell<Status>,
}

/// An id above every one before.
fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let micros = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_micros();
    let micros = u64::try_from(micros).expect("a few more years");
    let after = |last: u64| micros.max(last + 1);
    after(LAST.fetch_update(Relaxed, Relaxed, |last| Some(after(last))).expect("it never declines"))
}

pub(crate) fn info(name: &str) -> Arc<CheckInfo> {
    Arc::new(CheckInfo {
        name: name.into(),
        kind: "function",
        description: None,
        gates: Gates::READY,
        depends_on: Vec::new(),
        groups: Vec::new(),
        labels: BTreeMap::new(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        failure_threshold: 1,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: false,
        server: None,
    })
}

impl Recorder {
    pub(crate) fn of(history: &History, check: &str) -> Self {
        Self { sink: history.sink(), info: info(check), status: Cell::new(Status::Unknown) }
    }

    /// A run that leaves the status alone.
    pub(crate) fn run(&self, outcome: Outcome) {
        self.run_in(outcome, false);
    }

    pub(crate) fn run_in(&self, outcome: Outcome, maintenance: bool) {
        let run = run(outcome);
        let status = self.status.get();
        self.sink
            .record(&self.info, Event::Run { run: &run, status, trace_kept: false, maintenance });
    }

    /// A run whose outcome becomes the status at once.
    pub(crate) fn turn(&self, outcome: Outcome) -> Transition {
        self.turn_with(&run(outcome))
    }

    pub(crate) fn turn_with(&self, run: &Run) -> Transition {
        let (from, to) = (self.status.get(), run.outcome.status());
        self.status.set(to);
        let transition = Transition {
            id: next_id(),
            from,
            to,
            at: run.at + run.duration,
            since: run.at + run.duration,
            reason: run.reason,
            message: run.message.clone(),
            trace: run.trace,
        };
        let event = Event::Run { run, status: to, trace_kept: false, maintenance: false };
        self.sink.record(&self.info, event);
        self.sink.record(&self.info, Event::Transition(&transition));
        transition
    }

    pub(crate) fn remove(&self) {
        self.sink.record(&self.info, Event::Removed);
    }
}

pub(crate) fn run(outcome: Outcome) -> Run {
    let failed = outcome.is_failed();
    Run {
        // It ends now.
        at: SystemTime::now() - DURATION,
        duration: DURATION,
        outcome,
        reason: failed.then_some(Reason::ConnectionRefused),
        message: failed.then(|| "nothing listens".to_owned()),
        trace: None,
        phases: Vec::new(),
        measurements: Vec::new(),
    }
}

pub(crate) fn traced(outcome: Outcome, reason: Reason, trace_id: u128) -> Run {
    let trace = Some(Trace { trace_id, span_id: 1, sampled: false });
    Run { reason: Some(reason), trace, ..run(outcome) }
}
