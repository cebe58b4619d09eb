//! The sink of the history: it pushes the events of checks to a queue and returns at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::reasons::Reasons;
use super::rollup::{HistoryRun, Millis, millis};
use crate::model::{CheckInfo, Event, Reason, ServiceStatus, Sink, Transition};

/// Most runs that may wait. A thousand checks a second need a second to fill a thirtieth of it,
/// and it is emptied once a second.
pub(super) const CAPACITY: usize = 32_768;

/// A record in the queue; records are in the order of the events.
#[derive(Debug)]
pub(super) enum Record {
    /// A run ended; it failed for a reason, or did not fail.
    Run { info: Arc<CheckInfo>, ran: HistoryRun, reason: Option<Reason> },
    /// The host observed calls: so many of each length, how long the longest took, and why some
    /// failed.
    Observed { info: Arc<CheckInfo>, ran: Vec<HistoryRun>, longest: u64, reasons: Reasons },
    /// A status changed.
    Change { check: Arc<str>, transition: Box<Transition> },
    /// A check was removed from the plan.
    Removed { check: Arc<str>, at: Millis },
    /// The service's status changed.
    Service { status: ServiceStatus, since: Millis },
    /// What a heartbeat check has heard.
    Heartbeat { check: Arc<str>, state: Arc<str> },
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: Mutex<Vec<Record>>,
    dropped: AtomicU64,
}

impl Queue {
    /// Takes all records.
    pub(super) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.lock())
    }

    /// Notes what a heartbeat check has heard.
    pub(super) fn heartbeat(&self, check: Arc<str>, state: Arc<str>) {
        self.push(Record::Heartbeat { check, state });
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Number of records dropped since this was last read.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn push(&self, record: Record) {
        // There may be thousands of runs; a status change must not be dropped because runs fill the
        // queue.
        let capacity = match record {
            Record::Run { .. } => CAPACITY,
            _ => CAPACITY + CAPACITY / 8,
        };
        let mut records = self.lock();
        if records.len() < capacity {
            records.push(record);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Queue {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        let check = || Arc::clone(&info.name);
        match event {
            Event::Run { run, status, maintenance, .. } => {
                let ran = HistoryRun {
                    at: millis(run.at + run.duration),
                    micros: micros(run.duration),
                    outcome: run.outcome,
                    status,
                    maintenance,
                    times: 1,
                };
                let reason = run.reason.filter(|_| run.outcome.is_failed());
                self.push(Record::Run { info: Arc::clone(info), ran, reason });
            }
            Event::Observed(calls) => {
                let (at, status, maintenance) =
                    (millis(SystemTime::now()), calls.status(), calls.maintenance());
                let ran = calls.durations().map(|(outcome, duration, times)| {
                    let micros = micros(duration);
                    HistoryRun { at, micros, outcome, status, maintenance, times }
                });
                let (info, ran) = (Arc::clone(info), ran.collect());
                let longest = micros(calls.longest());
                let mut reasons = Reasons::default();
                for reason in Reason::ALL {
                    let failed = u32::try_from(calls.failures(*reason)).unwrap_or(u32::MAX);
                    reasons.add(*reason, failed);
                }
                self.push(Record::Observed { info, ran, longest, reasons });
            }
            Event::Transition(transition) => {
                let transition = Box::new(transition.clone());
                self.push(Record::Change { check: check(), transition });
            }
            Event::Removed => {
                self.push(Record::Removed { check: check(), at: millis(SystemTime::now()) });
            }
            Event::Skipped(_) | Event::Maintenance(_) => {}
        }
    }

    fn service(&self, status: ServiceStatus, since: SystemTime) {
        self.push(Record::Service { status, since: millis(since) });
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
