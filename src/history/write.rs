//! Writes pending data to the store in transactions, and records what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use super::aggregates::Aggregates;
use super::connection::Connection;
use super::error::StoreError;
use super::incident::{Changed, Period};
use super::pending::{Rollups, Slot, StatusSince};
use super::reason_rows::{self, CurrentReasons};
use super::rollup::{Counts, Millis, Rollup, badness};
use super::shared::{Shared, now};
use super::value::Value;
use super::{heartbeats, load, raw};
use crate::model::{Reason, ServiceStatus, Status};

/// Roll-ups of one transaction, unless a single minute has more.
const ROLLUPS: usize = 5_000;

/// How long a status of the service must last before it is stored: during the first runs of checks
/// it passes through temporary ones.
const SETTLED: Millis = 3_000;

/// Why a flush happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlushReason {
    Routine,
    Shutdown,
}

/// The data that was pending when a flush began.
pub(super) struct Batch {
    instance: i64,
    ids: Arc<HashMap<Arc<str>, i64>>,
    raw_key: Millis,
    /// The single runs, by shard.
    shards: BTreeMap<i64, Vec<u8>>,
    /// How much of each check's single runs that is.
    raw: Vec<(Arc<str>, usize)>,
    rollups: Vec<(Slot, Arc<Rollups>)>,
    removed: Removed,
    changes: Vec<(Arc<str>, Changed)>,
    incidents: Vec<(Arc<str>, Period)>,
    statuses: Vec<(Arc<str>, StatusSince)>,
    service: Option<(ServiceStatus, Millis)>,
    reasons: CurrentReasons,
    heartbeats: heartbeats::States,
    rolled_up_to: Millis,
    records: u64,
}

/// Inserts new checks into the store, and loads their ids and past into the aggregates.
pub(super) async fn register(
    conn: &mut Connection,
    shared: &Shared,
    instance: i64,
) -> Result<(), StoreError> {
    let unknown: Vec<Arc<str>> = without_id(&shared.aggregates()).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let before = load::ids(conn, instance, &unknown).await?;
    touch_checks(conn, instance, &unknown).await?;
    let ids = load::ids(conn, instance, &unknown).await?;
    let (returned, waiting) = {
        let aggregates = shared.aggregates();
        let returned = before.into_iter().filter(|(check, _)| aggregates.lacks_past(check));
        (returned.collect(), aggregates.pending.rollups.keys().copied().collect::<Vec<_>>())
    };
    let past = load::past(conn, instance, returned, &waiting).await?;
    // Added together at the end, so that after an error nothing is counted twice.
    let mut aggregates = shared.aggregates();
    for (width, start, check, rollup) in &past {
        aggregates.add_past(*width, *start, check, rollup);
    }
    aggregates.know(ids);
    Ok(())
}

/// The checks that the store has given no id yet.
fn without_id(aggregates: &Aggregates) -> impl Iterator<Item = &Arc<str>> {
    let waiting = aggregates.pending.rollups.values().flat_map(|r| r.keys());
    aggregates.of.keys().chain(waiting).filter(|check| !aggregates.ids.contains_key(*check))
}

/// Checks that were removed, each with what its day is.
type Removed = Vec<(Arc<str>, Counts)>;

/// The checks that were removed, and what they did in the periods that have not ended.
fn removed(aggregates: &Aggregates) -> (Removed, Vec<(Slot, Arc<Rollups>)>) {
    let mut checks = Vec::new();
    let mut unfinished = BTreeMap::<Slot, Rollups>::new();
    for (check, aggregate) in aggregates.of.iter().filter(|(_, one)| one.removed) {
        checks.push((Arc::clone(check), aggregate.day));
        for (width, rollup) in aggregate.unfinished() {
            if !rollup.counts.is_empty() {
                let slot = (width, width.floor(aggregates.minute));
                unfinished.entry(slot).or_default().insert(Arc::clone(check), rollup);
            }
        }
    }
    (checks, unfinished.into_iter().map(|(slot, rows)| (slot, Arc::new(rows))).collect())
}

/// Records that `checks` are part of the plan now.
pub(super) async fn touch_checks(
    conn: &mut Connection,
    instance: i64,
    checks: &[Arc<str>],
) -> Result<(), StoreError> {
    let mut checks: Vec<&str> = checks.iter().map(|check| &**check).collect();
    // A statement may touch a row but once.
    checks.sort_unstable();
    checks.dedup();
    let now = now();
    let values: Vec<Value> =
        checks.into_iter().flat_map(|check| [instance.into(), check.into(), now.into()]).collect();
    let head = "INSERT INTO vitalsign_checks (instance_id, name, seen) VALUES";
    let tail = "ON CONFLICT (instance_id, name) DO UPDATE SET seen = excluded.seen";
    conn.insert(head, tail, 3, &values).await
}

/// Writes all pending data.
///
/// A write may happen twice, because an acknowledgement can be lost: every row has its key and its
/// final values.
pub(super) async fn flush(
    conn: &mut Connection,
    shared: &Shared,
    instance: i64,
    reason: FlushReason,
) -> Result<u64, StoreError> {
    let mut batch = loop {
        register(conn, shared, instance).await?;
        if let Some(batch) = Batch::take(shared, instance, reason) {
            break batch;
        }
    };
    let rollups = std::mem::take(&mut batch.rollups);
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut size = 0;
    for (slot, rows) in rollups {
        size += rows.len();
        part.push((slot, rows));
        if size >= ROLLUPS {
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
    }
    parts.push(part);
    let last = parts.len() - 1;
    for (number, part) in parts.iter().enumerate() {
        conn.begin().await?;
        if number == 0 {
            batch.write_records(conn).await?;
        }
        for (slot, rows) in part {
            batch.write_rollups(conn, *slot, rows).await?;
        }
        if number == last {
            batch.write_instance(conn).await?;
        }
        conn.commit().await?;
        batch.acknowledge(shared, number == 0, part);
    }
    let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    aggregates.forget_removed(&batch.removed);
    aggregates.pending.records = aggregates.pending.records.saturating_sub(batch.records);
    if batch.service.is_some() && aggregates.pending.service == batch.service {
        aggregates.service = aggregates.pending.service.take();
    }
    Ok(batch.records)
}

impl Batch {
    /// All pending data; `None` if a check has no id yet.
    pub(super) fn take(shared: &Shared, instance: i64, reason: FlushReason) -> Option<Self> {
        let now = now();
        let aggregates = shared.aggregates();
        if without_id(&aggregates).next().is_some() {
            return None;
        }
        let pending = &aggregates.pending;
        let mut shards = BTreeMap::<i64, Vec<u8>>::new();
        let mut raw = Vec::new();
        for (check, aggregate) in &aggregates.of {
            if let Some(id) = aggregates.ids.get(check)
                && !aggregate.raw.is_empty()
            {
                raw::append_to_shard(
                    shards.entry(raw::shard(*id)).or_default(),
                    *id,
                    &aggregate.raw,
                );
                raw.push((Arc::clone(check), aggregate.raw.len()));
            }
        }
        let mut rollups: Vec<(Slot, Arc<Rollups>)> =
            pending.rollups.iter().map(|(s, r)| (*s, Arc::clone(r))).collect();
        let (removed, unfinished) = removed(&aggregates);
        rollups.extend(unfinished);
        let settled = |held: &(ServiceStatus, Millis)| {
            reason == FlushReason::Shutdown || now - held.1 >= SETTLED
        };
        let incidents = pending.incidents.iter();
        Some(Self {
            instance,
            ids: Arc::clone(&aggregates.ids),
            raw_key: pending.raw_key,
            shards,
            raw,
            rollups,
            removed,
            changes: pending.changes.iter().cloned().collect(),
            incidents: incidents.map(|((c, _), p)| (Arc::clone(c), p.clone())).collect(),
            statuses: pending.statuses.iter().map(|(c, held)| (Arc::clone(c), *held)).collect(),
            service: pending.service.filter(settled),
            reasons: CurrentReasons::take(&aggregates),
            heartbeats: pending.heartbeats.clone().into_iter().collect(),
            rolled_up_to: aggregates.minute,
            records: pending.records,
        })
    }

    /// Writes single runs, changes, incidents and statuses.
    async fn write_records(&self, conn: &mut Connection) -> Result<(), StoreError> {
        let instance = self.instance;
        let shards = self.shards.iter();
        let values: Vec<Value> = shards
            .flat_map(|(shard, data)| {
                let key = [instance.into(), self.raw_key.into(), (*shard).into()];
                key.into_iter().chain([Value::Blob(data.clone())])
            })
            .collect();
        let head = "INSERT INTO vitalsign_runs (instance_id, at, shard, data) VALUES";
        let tail = "ON CONFLICT (instance_id, at, shard) DO UPDATE SET data = excluded.data";
        conn.insert(head, tail, 4, &values).await?;

        let known = |check: &Arc<str>| self.ids.get(check).copied();
        let changes = self.changes.iter().filter_map(|(check, c)| Some((known(check)?, c)));
        let values: Vec<Value> = changes.flat_map(|(id, c)| change(instance, id, c)).collect();
        let head = "INSERT INTO vitalsign_changes (instance_id, id, check_id, at, from_status, \
                    to_status, reason, message, trace_id) VALUES";
        conn.insert(head, "ON CONFLICT (instance_id, id) DO NOTHING", 9, &values).await?;

        let incidents = self.incidents.iter().filter_map(|(check, p)| Some((known(check)?, p)));
        let values: Vec<Value> = incidents.flat_map(|(id, p)| period(instance, id, p)).collect();
        let head = "INSERT INTO vitalsign_incidents (instance_id, id, check_id, started, ended, \
                    worst, reason, message, trace_id) VALUES";
        // An end is final, even if an older version of the incident is written later.
        let tail = "ON CONFLICT (instance_id, id) DO UPDATE SET \
                    ended = coalesce(excluded.ended, vitalsign_incidents.ended), \
                    worst = excluded.worst, reason = excluded.reason, \
                    message = excluded.message, trace_id = excluded.trace_id";
        conn.insert(head, tail, 9, &values).await?;

        for (check, held) in &self.statuses {
            let Some(id) = known(check) else { continue };
            let (status, since) = held.unzip();
            let status = status.map(|s: Status| s.as_str().to_owned());
            let sql = "UPDATE vitalsign_checks SET status = $1, since = $2 WHERE id = $3";
            conn.execute(sql, &[status.into(), since.into(), id.into()]).await?;
        }
        heartbeats::write(conn, instance, &self.heartbeats).await?;
        self.reasons.write(conn, instance).await
    }

    async fn write_rollups(
        &self,
        conn: &mut Connection,
        (width, start): Slot,
        rows: &Rollups,
    ) -> Result<(), StoreError> {
        // Sorted by key, which is the order in which they are stored.
        let known = rows.iter().filter_map(|(check, r)| Some((*self.ids.get(check)?, r)));
        let mut known: Vec<(i64, &Rollup)> = known.collect();
        known.sort_unstable_by_key(|(id, _)| *id);
        let reasons = known.iter().map(|(id, rollup)| (width, start, *id, &rollup.reasons));
        reason_rows::write(conn, self.instance, reasons).await?;
        // What was loaded of a period may be its reasons alone.
        known.retain(|(_, rollup)| !rollup.counts.is_empty());
        let mut values: Vec<Value> = Vec::with_capacity(11 * known.len());
        for (id, Rollup { counts, sketch, .. }) in known {
            let worst = counts.worst.map(|status| i64::from(badness(status)));
            values.extend([
                Value::from(self.instance),
                width.millis().into(),
                start.into(),
                id.into(),
                i64::from(counts.runs).into(),
                i64::from(counts.good).into(),
                i64::from(counts.slo_good).into(),
                i64::from(counts.slo_counted).into(),
                i64::try_from(counts.max_micros).unwrap_or(i64::MAX).into(),
                worst.into(),
                Value::Blob(sketch.encode()),
            ]);
        }
        let head = "INSERT INTO vitalsign_rollups (instance_id, width, start, check_id, runs, \
                    good, slo_good, slo_counted, max_micros, worst, sketch) VALUES";
        let tail = "ON CONFLICT (instance_id, width, start, check_id) DO UPDATE SET \
                    runs = excluded.runs, good = excluded.good, slo_good = excluded.slo_good, \
                    slo_counted = excluded.slo_counted, max_micros = excluded.max_micros, \
                    worst = excluded.worst, sketch = excluded.sketch";
        conn.insert(head, tail, 11, &values).await
    }

    /// Stores the end of the last roll-up, after all of them are written.
    async fn write_instance(&self, conn: &mut Connection) -> Result<(), StoreError> {
        let sql = "UPDATE vitalsign_instances SET rolled_up_to = $1 WHERE id = $2";
        conn.execute(sql, &[self.rolled_up_to.into(), self.instance.into()]).await?;
        let Some((status, since)) = self.service else { return Ok(()) };
        let sql = "UPDATE vitalsign_instances SET status = $1, since = $2 WHERE id = $3";
        let values = [status.as_str().into(), since.into(), self.instance.into()];
        conn.execute(sql, &values).await.map(drop)
    }

    /// Drops the data that the store has acknowledged, unless it has changed meanwhile.
    fn acknowledge(&self, shared: &Shared, records: bool, rollups: &[(Slot, Arc<Rollups>)]) {
        let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, written) in rollups {
            if aggregates.pending.rollups.get(slot).is_some_and(|r| Arc::ptr_eq(r, written)) {
                aggregates.pending.rollups.remove(slot);
            }
        }
        if !records {
            return;
        }
        aggregates.acknowledge_raw(self.raw_key, &self.raw, now());
        self.reasons.acknowledge(&mut aggregates);
        let pending = &mut aggregates.pending;
        if let Some((_, last)) = self.changes.last() {
            while pending.changes.front().is_some_and(|(_, change)| change.id <= last.id) {
                pending.changes.pop_front();
            }
        }
        for (check, written) in &self.incidents {
            let key = (Arc::clone(check), written.id);
            if pending.incidents.get(&key) == Some(written) {
                pending.incidents.remove(&key);
            }
        }
        for (check, written) in &self.heartbeats {
            if pending.heartbeats.get(check) == Some(written) {
                pending.heartbeats.remove(check);
            }
        }
        for (check, written) in &self.statuses {
            if pending.statuses.get(check) == Some(written) {
                pending.statuses.remove(check);
            }
        }
    }
}

fn change(instance: i64, check: i64, change: &Changed) -> [Value; 9] {
    [
        instance.into(),
        i64::try_from(change.id).unwrap_or(i64::MAX).into(),
        check.into(),
        change.at.into(),
        change.from.as_str().into(),
        change.to.as_str().into(),
        change.reason.map(|r: Reason| r.as_str().to_owned()).into(),
        change.message.clone().into(),
        change.trace_id.clone().into(),
    ]
}

fn period(instance: i64, check: i64, period: &Period) -> [Value; 9] {
    [
        instance.into(),
        i64::try_from(period.id).unwrap_or(i64::MAX).into(),
        check.into(),
        period.start.into(),
        period.end.into(),
        period.worst.as_str().into(),
        period.reason.map(|r: Reason| r.as_str().to_owned()).into(),
        period.message.clone().into(),
        period.trace_id.clone().into(),
    ]
}
