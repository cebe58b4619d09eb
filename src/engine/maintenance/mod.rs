//! Maintenance: marks checks as in maintenance while one of their windows is open.
//!
//! Input: the windows and the wall clock. Output: the set of checks in maintenance, in the state.
//! It reads the clock often instead of sleeping until the next change, because the clock may be set
//! and the machine may be suspended. Between two changes this is one comparison.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::engine::state::{HealthState, Maintained};
use crate::engine::window::Window;
use crate::model::log_targets;

/// Longest time between two readings of the clock.
const LOOK: Duration = Duration::from_secs(1);

/// Longest time until the windows are evaluated again.
const BELIEVED: Duration = Duration::from_hours(24);

/// Reads the wall clock.
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// Opens and closes the windows of a service.
pub(crate) struct Maintenance {
    state: Arc<HealthState>,
    clock: Clock,
    windows: Mutex<Windows>,
    changed: Notify,
}

impl std::fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maintenance").field("windows", &*self.windows()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Windows {
    all: Vec<Window>,
    /// Those of them that are open.
    open: Vec<Window>,
    /// The span of time in which none opens or closes.
    holds: Range<SystemTime>,
}

impl Maintenance {
    /// Takes the windows, and opens those that are due now.
    pub(crate) fn new(state: Arc<HealthState>, windows: Vec<Window>) -> Arc<Self> {
        Self::with_clock(state, windows, Box::new(SystemTime::now))
    }

    fn with_clock(state: Arc<HealthState>, windows: Vec<Window>, clock: Clock) -> Arc<Self> {
        let now = clock();
        let none = Windows { all: Vec::new(), open: Vec::new(), holds: now..now };
        let maintenance = Self { state, clock, windows: Mutex::new(none), changed: Notify::new() };
        maintenance.set(windows);
        Arc::new(maintenance)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the windows.
    pub(crate) fn set(&self, windows: Vec<Window>) {
        self.set_around(windows, || ());
    }

    /// Replaces the windows around `change`: those that come open before it, those that go close
    /// after it.
    pub(crate) fn set_around<T>(&self, windows: Vec<Window>, change: impl FnOnce() -> T) -> T {
        let mut held = self.windows();
        held.all = windows;
        let now = (self.clock)();
        let open = held.open_at(now);
        self.state.set_maintenance(maintained(held.open.iter().chain(&open)));
        let result = change();
        self.put_into_force(&mut held, open, now);
        drop(held);
        self.changed.notify_one();
        result
    }

    /// Opens and closes the windows that are due, and returns how long to wait until the next look.
    fn look(&self) -> Option<Duration> {
        let mut held = match self.windows.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            // A call that replaces the windows reads the clock, too; this must not wait for it.
            Err(TryLockError::WouldBlock) => return Some(LOOK),
        };
        if held.all.is_empty() {
            return None;
        }
        let now = (self.clock)();
        if !held.holds.contains(&now) {
            let open = held.open_at(now);
            self.put_into_force(&mut held, open, now);
        }
        let left = held.holds.end.duration_since(now).unwrap_or_default();
        Some(left.min(LOOK))
    }

    fn put_into_force(&self, held: &mut Windows, open: Vec<Window>, now: SystemTime) {
        self.state.set_maintenance(maintained(&open));
        for window in held.open.iter().filter(|window| !open.contains(window)) {
            tracing::info!(
                target: log_targets::MAINTENANCE,
                checks = names(window), "maintenance ends"
            );
        }
        for window in open.iter().filter(|window| !held.open.contains(window)) {
            let until = window.next_change(now).and_then(|at| jiff::Timestamp::try_from(at).ok());
            let until = until.map(tracing::field::display);
            tracing::info!(
                target: log_targets::MAINTENANCE,
                checks = names(window), until, "maintenance begins"
            );
        }
        held.open = open;
        held.holds = now..held.next_change(now);
    }

    /// Opens and closes windows for good.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            match self.look() {
                // Both ends of the wait lead to the same next look.
                Some(wait) => drop(timeout(wait, changed).await),
                None => changed.await,
            }
        }
    }
}

impl Windows {
    fn open_at(&self, now: SystemTime) -> Vec<Window> {
        self.all.iter().filter(|window| window.is_active(now)).cloned().collect()
    }

    /// When to ask the windows again.
    fn next_change(&self, now: SystemTime) -> SystemTime {
        let believed = now.checked_add(BELIEVED).unwrap_or(now);
        let changes = self.all.iter().filter_map(|window| window.next_change(now));
        changes.min().map_or(believed, |at| at.min(believed))
    }
}

/// The checks of these windows.
fn maintained<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Maintained {
    let mut maintained = Maintained::default();
    windows.into_iter().for_each(|window| maintained.add(window.checks()));
    maintained
}

/// The names of a window's checks, for the log.
fn names(window: &Window) -> String {
    match window.checks() {
        Some(names) => names.collect::<Vec<_>>().join(", "),
        None => "all".to_owned(),
    }
}
