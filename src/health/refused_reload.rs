//! A configuration that was refused while the service runs.

use std::sync::Arc;
use std::time::SystemTime;

use super::Health;

/// A changed configuration that was refused: the one before stays in force until it is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedReload {
    /// When it was refused.
    pub(crate) at: SystemTime,
    /// What is wrong with it, a line for each error.
    pub(crate) errors: Vec<String>,
}

impl Health {
    /// Shows on the page and in `/status`, to those with the right to details, that a changed
    /// configuration was refused and why; [`reload_succeeded`](Self::reload_succeeded) ends that.
    ///
    /// The lines must hold no secret. Those of
    /// [`ConfigError::diagnostics`](crate::config::ConfigError::diagnostics) hold none.
    pub fn reload_refused(&self, errors: Vec<String>) {
        let refused = RefusedReload { at: SystemTime::now(), errors };
        self.inner.refused_reload.store(Some(Arc::new(refused)));
    }

    /// Shows no longer that a configuration was refused: the newest one is in force.
    pub fn reload_succeeded(&self) {
        self.inner.refused_reload.store(None);
    }

    /// The newest configuration, if it was refused.
    pub(crate) fn refused_reload(&self) -> Option<Arc<RefusedReload>> {
        self.inner.refused_reload.load_full()
    }
}
