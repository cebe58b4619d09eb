//! What heartbeat checks have heard, kept over restarts.
//!
//! The state is a text that only the check reads. It is written within a second, as status changes
//! are, or at once when a caller waits for it.

use std::sync::{Arc, PoisonError};

use super::History;
use super::connection::Connection;
use super::error::StoreError;
use super::rollup::Millis;
use super::shared::{Shared, now};
use super::value::Value;

/// Checks and their states.
pub(super) type States = Vec<(Arc<str>, Arc<str>)>;

impl History {
    /// Keeps what the heartbeat check `check` has heard.
    pub(crate) fn keep_heartbeat(&self, check: &Arc<str>, state: &str) {
        self.inner.shared.queue.heartbeat(Arc::clone(check), state.into());
    }

    /// What the heartbeat check `check` had heard, in the process before and in this one.
    pub(crate) fn heartbeat(&self, check: &str) -> [Option<Arc<str>>; 2] {
        self.inner.shared.aggregates().heartbeats.of(check)
    }

    /// Whether what the store remembers has been loaded.
    pub(crate) fn is_loaded(&self) -> bool {
        self.inner.shared.aggregates().heartbeats.is_loaded()
    }

    /// Has what has just happened written, and waits for it, a second at most.
    pub(crate) async fn written(&self) {
        self.inner.settle().await;
    }
}

/// Writes states.
pub(super) async fn write(
    conn: &mut Connection,
    instance: i64,
    states: &States,
) -> Result<(), StoreError> {
    let now = now();
    let values: Vec<Value> = states
        .iter()
        .flat_map(|(check, state)| {
            [instance.into(), (&**check).into(), (&**state).into(), now.into()]
        })
        .collect();
    let head = "INSERT INTO vitalsign_heartbeats (instance_id, name, state, at) VALUES";
    let tail = "ON CONFLICT (instance_id, name) DO UPDATE SET state = excluded.state, \
                at = excluded.at";
    conn.insert(head, tail, 4, &values).await
}

/// Loads what checks had heard before this process.
pub(super) async fn load(
    conn: &mut Connection,
    shared: &Shared,
    instance: i64,
) -> Result<(), StoreError> {
    let sql = "SELECT name, state FROM vitalsign_heartbeats WHERE instance_id = $1";
    let rows = conn.fetch(sql, &[instance.into()]).await?;
    let before: Result<_, StoreError> =
        rows.iter().map(|row| Ok((row.text(0)?.into(), row.text(1)?.into()))).collect();
    let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    aggregates.heartbeats.remember(before?);
    Ok(())
}

/// Deletes the states of checks that the instance does not know any more, if nothing was heard since
/// `before`, and those of instances that are no more.
pub(super) async fn prune(
    conn: &mut Connection,
    instance: i64,
    before: Millis,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM vitalsign_heartbeats WHERE instance_id = $1 AND at < $2 AND name NOT IN \
               (SELECT name FROM vitalsign_checks WHERE instance_id = $1)";
    conn.execute(sql, &[instance.into(), before.into()]).await?;
    let sql = "DELETE FROM vitalsign_heartbeats \
               WHERE instance_id NOT IN (SELECT id FROM vitalsign_instances)";
    conn.execute(sql, &[]).await.map(drop)
}
