//! The sink: it notes in a queue what happens to checks, and returns at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::rollup::{Millis, Ran, millis};
use crate::model::{CheckInfo, Event, ServiceStatus, Sink, Transition};

/// Most runs that may wait. A thousand checks a second need a second to fill a thirtieth of it,
/// and it is emptied once a second.
pub(super) const CAPACITY: usize = 32_768;

/// What happened, in the order in which the recorder saw it.
#[derive(Debug)]
pub(super) enum Record {
    /// A run ended.
    Run { info: Arc<CheckInfo>, ran: Ran },
    /// The host observed calls: so many of each length, and how long the longest took.
    Observed { info: Arc<CheckInfo>, ran: Vec<Ran>, longest: u64 },
    /// A status changed.
    Change { check: Arc<str>, transition: Box<Transition> },
    /// A check is no longer part of the plan.
    Removed { check: Arc<str>, at: Millis },
    /// The service's status changed.
    Service { status: ServiceStatus, since: Millis },
}

/// What waits to be folded in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: Mutex<Vec<Record>>,
    dropped: AtomicU64,
}

impl Queue {
    /// Takes all that waits.
    pub(super) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.lock())
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// How many found no room since this was asked last.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn push(&self, record: Record) {
        // Runs come by the thousand; a change must not be lost for want of the room they took.
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
                let ran = Ran {
                    at: millis(run.at + run.duration),
                    micros: micros(run.duration),
                    outcome: run.outcome,
                    status,
                    maintenance,
                    times: 1,
                };
                self.push(Record::Run { info: Arc::clone(info), ran });
            }
            Event::Observed(calls) => {
                let (at, status, maintenance) =
                    (millis(SystemTime::now()), calls.status(), calls.maintenance());
                let ran = calls.durations().map(|(outcome, duration, times)| {
                    let micros = micros(duration);
                    Ran { at, micros, outcome, status, maintenance, times }
                });
                let (info, ran) = (Arc::clone(info), ran.collect());
                self.push(Record::Observed { info, ran, longest: micros(calls.longest()) });
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
