//! The rows that hold why runs failed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::aggregates::Aggregates;
use super::connection::Connection;
use super::error::StoreError;
use super::reasons::Reasons;
use super::rollup::{Millis, Rollup, Width};
use super::row::Row;
use super::shared::Shared;
use super::value::Value;

/// A row: the kind of period and its start, the check's id, and its reasons.
pub(super) type ReasonRow = (Width, Millis, i64, Reasons);

/// Writes rows; each holds all of its period, so that writing one again does no harm.
pub(super) async fn write(
    conn: &mut Connection,
    instance: i64,
    rows: impl IntoIterator<Item = (Width, Millis, i64, &Reasons)>,
) -> Result<(), StoreError> {
    let mut values: Vec<Value> = Vec::new();
    for (width, start, check, reasons) in rows.into_iter().filter(|row| !row.3.is_empty()) {
        values.extend([
            Value::from(instance),
            check.into(),
            width.millis().into(),
            start.into(),
            reasons.encode().as_str().into(),
        ]);
    }
    let head =
        "INSERT INTO vitalsign_reasons (instance_id, check_id, width, start, reasons) VALUES";
    let tail = "ON CONFLICT (instance_id, check_id, width, start) \
                DO UPDATE SET reasons = excluded.reasons";
    conn.insert(head, tail, 5, &values).await
}

/// The rows of `check` that begin from `first` on and before `end`.
pub(super) async fn of_check(
    conn: &mut Connection,
    instance: i64,
    check: i64,
    (width, (first, end)): (Width, (Millis, Millis)),
) -> Result<Vec<ReasonRow>, StoreError> {
    if first >= end {
        return Ok(Vec::new());
    }
    let sql = "SELECT start, reasons FROM vitalsign_reasons WHERE instance_id = $1 \
               AND check_id = $2 AND width = $3 AND start >= $4 AND start < $5";
    let values = [instance.into(), check.into(), width.millis().into(), first.into(), end.into()];
    let rows = conn.fetch(sql, &values).await?;
    let row = |row: &Row| Ok((width, row.int(0)?, check, Reasons::decode(&row.text(1)?)));
    rows.iter().map(row).collect()
}

/// The rows of every check that begin from `first` on.
pub(super) async fn since(
    conn: &mut Connection,
    instance: i64,
    width: Width,
    first: Millis,
) -> Result<Vec<ReasonRow>, StoreError> {
    let sql = "SELECT check_id, start, reasons FROM vitalsign_reasons \
               WHERE instance_id = $1 AND width = $2 AND start >= $3";
    let rows = conn.fetch(sql, &[instance.into(), width.millis().into(), first.into()]).await?;
    let row = |row: &Row| Ok((width, row.int(1)?, row.int(0)?, Reasons::decode(&row.text(2)?)));
    rows.iter().map(row).collect()
}

/// Deletes the rows of `width` that began before `before`.
pub(super) async fn prune(
    conn: &mut Connection,
    instance: i64,
    width: Width,
    before: Millis,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM vitalsign_reasons WHERE instance_id = $1 AND width = $2 AND start < $3";
    conn.execute(sql, &[instance.into(), width.millis().into(), before.into()]).await.map(drop)
}

/// Deletes the rows of instances that are no more.
pub(super) async fn prune_orphans(conn: &mut Connection) -> Result<(), StoreError> {
    let sql = "DELETE FROM vitalsign_reasons \
               WHERE instance_id NOT IN (SELECT id FROM vitalsign_instances)";
    conn.execute(sql, &[]).await.map(drop)
}

/// What the current minute has, of the checks whose row of it is not up to date: it is written
/// before the minute is over, so that a process that is killed loses no more of this than of its
/// runs.
#[derive(Debug, Default)]
pub(super) struct CurrentReasons {
    minute: Millis,
    of: Vec<(Arc<str>, i64, Reasons)>,
}

impl CurrentReasons {
    pub(super) fn take(aggregates: &Aggregates) -> Self {
        let mut of = Vec::new();
        for (check, aggregate) in &aggregates.of {
            let reasons = &aggregate.minute.reasons;
            if !reasons.is_empty()
                && reasons.total() != aggregate.reasons_written
                && let Some(id) = aggregates.ids.get(check)
            {
                of.push((Arc::clone(check), *id, reasons.clone()));
            }
        }
        Self { minute: aggregates.minute, of }
    }

    pub(super) async fn write(
        &self,
        conn: &mut Connection,
        instance: i64,
    ) -> Result<(), StoreError> {
        let rows =
            self.of.iter().map(|(_, id, reasons)| (Width::Minute, self.minute, *id, reasons));
        write(conn, instance, rows).await
    }

    /// Takes note that the store has them.
    pub(super) fn acknowledge(&self, aggregates: &mut Aggregates) {
        if aggregates.minute != self.minute {
            return;
        }
        for (check, _, reasons) in &self.of {
            if let Some(aggregate) = aggregates.of.get_mut(check) {
                aggregate.reasons_written = reasons.total();
            }
        }
    }
}

/// Adds to memory why runs failed in the hour that had not ended at `rolled`, up to which every run
/// is in the roll-ups. The minutes from there on have rows too, of as much as was written of them.
pub(super) async fn load(
    conn: &mut Connection,
    shared: &Shared,
    instance: i64,
    rolled: Millis,
    names: &HashMap<i64, Arc<str>>,
) -> Result<(), StoreError> {
    let rows = since(conn, instance, Width::Minute, Width::Hour.floor(rolled)).await?;
    let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, start, id, reasons) in rows {
        let Some(check) = names.get(&id) else { continue };
        let rollup = Rollup::from(reasons);
        if start >= rolled {
            aggregates.add(Width::Minute, start, check, &rollup);
        }
        aggregates.add(Width::Hour, Width::Hour.floor(start), check, &rollup);
    }
    Ok(())
}
