//! A thread that wakes the host's runtime regularly, so that a check that blocks a worker does not
//! stop its network I/O.
//!
//! # Why
//!
//! One worker of a runtime at a time polls for I/O and timers. When a single task becomes ready,
//! that worker runs it and wakes no other worker. If the task blocks its thread, no worker polls
//! any more: idle workers sleep, and the host answers no request. A task that is spawned from
//! another thread wakes one of them, which then polls.
//!
//! # When
//!
//! Only a run that is going can block a thread. The ticker's thread sleeps until one starts, looks
//! again every 100 ms as long as any is going, and then sleeps again. Runs that are shorter than
//! that cost two wakings at most, and many of them no more than ten wakings a second.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::model::log_targets;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Longest time without polling for I/O. A tick costs about ten microseconds.
const PERIOD: Duration = Duration::from_millis(100);

/// A small stack: the thread only waits and spawns.
const STACK: usize = 128 * 1024;

/// A thread that spawns an empty task every 100 ms while runs are going, until this is dropped.
pub(super) struct RuntimeTicker {
    runs: Arc<Runs>,
    thread: Thread,
}

/// What the thread and the runs share.
#[derive(Debug, Default)]
struct Runs {
    going: AtomicUsize,
    /// Whether the thread looks at `going` again by itself. A run that starts while it does not has
    /// to wake it.
    watched: AtomicBool,
    ended: AtomicBool,
}

/// A run that is going, until this is dropped.
pub(super) struct GoingRun<'a>(&'a Runs);

impl RuntimeTicker {
    /// Starts it for the runtime of `handle`; `None` if that has a single worker, which a tick
    /// could not wake.
    pub(super) fn start(handle: Handle) -> Option<Self> {
        let several = handle.runtime_flavor() == RuntimeFlavor::MultiThread
            && handle.metrics().num_workers() > 1;
        if !several {
            return None;
        }
        let runs = Arc::new(Runs::default());
        let watched = Arc::clone(&runs);
        let tick = move || watched.tick(|| drop(handle.spawn(ready(()))));
        let thread = thread::Builder::new().name("vitalsign-ticker".to_owned()).stack_size(STACK);
        match thread.spawn(tick) {
            Ok(thread) => Some(Self { runs, thread: thread.thread().clone() }),
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(
                    target: log_targets::SCHEDULER,
                    error, "no thread that keeps the host awake beside blocking checks"
                );
                None
            }
        }
    }

    /// Records that a run starts, before it can block its thread.
    pub(super) fn run_starts(&self) -> GoingRun<'_> {
        self.runs.going.fetch_add(1, Ordering::SeqCst);
        if !self.runs.watched.swap(true, Ordering::SeqCst) {
            self.thread.unpark();
        }
        GoingRun(&self.runs)
    }
}

impl Drop for RuntimeTicker {
    fn drop(&mut self) {
        self.runs.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for GoingRun<'_> {
    fn drop(&mut self) {
        self.0.going.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Runs {
    /// Calls `tick` every period in which a run is going, until the end.
    fn tick(&self, tick: impl Fn()) {
        while !self.ended.load(Ordering::SeqCst) {
            if !self.watched.load(Ordering::SeqCst) {
                thread::park();
                continue;
            }
            thread::park_timeout(PERIOD);
            if self.going.load(Ordering::SeqCst) == 0 {
                self.watched.store(false, Ordering::SeqCst);
                // A run that started in between took it that it is watched.
                if self.going.load(Ordering::SeqCst) == 0 {
                    continue;
                }
                self.watched.store(true, Ordering::SeqCst);
            }
            tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Waits until `holds`, however long that takes.
    fn wait_until(holds: impl Fn() -> bool) {
        while !holds() {
            thread::yield_now();
        }
    }

    #[test]
    fn it_ticks_while_a_run_is_going_and_sleeps_while_none_is() {
        let runs = Arc::new(Runs::default());
        let (sender, ticks) = channel();
        let watched = Arc::clone(&runs);
        let thread = thread::spawn(move || watched.tick(|| sender.send(()).expect("a test")));
        let ticker = RuntimeTicker { runs: Arc::clone(&runs), thread: thread.thread().clone() };
        for _ in 0..2 {
            let (long, other) = (ticker.run_starts(), ticker.run_starts());
            drop(other);
            (0..2).for_each(|_| ticks.recv().expect("a tick"));
            assert!(runs.watched.load(Ordering::SeqCst));
            drop(long);
            wait_until(|| !runs.watched.load(Ordering::SeqCst));
            while ticks.try_recv().is_ok() {}
        }
        assert_eq!(runs.going.load(Ordering::SeqCst), 0);
        assert!(ticks.try_recv().is_err(), "nothing is going");
        drop(ticker);
        thread.join().expect("it ends");
    }
}
