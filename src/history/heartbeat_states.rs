//! The states of heartbeat checks that memory holds.

use std::collections::HashMap;
use std::sync::Arc;

/// States by check: those of this process, and what the store remembers of the one before.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    current: HashMap<Arc<str>, Arc<str>>,
    /// `None` until the store has answered.
    before: Option<HashMap<Arc<str>, Arc<str>>>,
}

impl Heartbeats {
    /// Takes note of the state of `check`.
    pub(super) fn hear(&mut self, check: &Arc<str>, state: &Arc<str>) {
        self.current.insert(Arc::clone(check), Arc::clone(state));
    }

    /// Takes over what the store remembers.
    pub(super) fn remember(&mut self, before: HashMap<Arc<str>, Arc<str>>) {
        self.before = Some(before);
    }

    /// Whether the store has said what it remembers.
    pub(super) const fn is_loaded(&self) -> bool {
        self.before.is_some()
    }

    /// What `check` had heard, in the process before and in this one.
    pub(super) fn of(&self, check: &str) -> [Option<Arc<str>>; 2] {
        let before = self.before.as_ref().and_then(|before| before.get(check));
        [before.cloned(), self.current.get(check).cloned()]
    }

    /// Forgets a check that was removed.
    pub(super) fn remove(&mut self, check: &str) {
        self.current.remove(check);
        if let Some(before) = &mut self.before {
            before.remove(check);
        }
    }
}
