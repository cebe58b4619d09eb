//! What heartbeat checks have heard, over restarts: kept in the history, and given back from there.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use crate::engine::check::Heartbeat;
use crate::history::History;

/// Time between two looks at a store that had not answered when the checks were started.
const LOOK: Duration = Duration::from_secs(1);

/// Gives the check `name` back what it had heard, and keeps what it hears from now on.
pub(super) fn keep(history: &History, name: &Arc<str>, heartbeat: &Heartbeat) {
    let kept = history.heartbeat(name);
    let (history, name) = (history.clone(), Arc::clone(name));
    let keep = Box::new(move |state: &str| history.keep_heartbeat(&name, state));
    heartbeat.keep_with(kept.iter().flatten().map(|state| &**state), keep);
}

/// Waits for a store that answers late, and gives the checks back what they had heard then.
pub(super) async fn keep_late(history: History, health: Weak<Inner>) {
    while !history.is_loaded() {
        sleep(LOOK).await;
        if health.strong_count() == 0 {
            return;
        }
    }
    let Some(health) = health.upgrade() else { return };
    for (name, heartbeat) in health.scheduler.heartbeats() {
        keep(&history, &name, &heartbeat);
    }
}
