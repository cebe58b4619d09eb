//! Loads the state of a restarted service from the store: last statuses, open incidents, current
//! roll-ups.
//!
//! The data is added to what is in memory already, so it does not matter if the store answers late.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::aggregates::Aggregates;
use super::availability::Rings;
use super::connection::Connection;
use super::error::StoreError;
use super::incident::Period;
use super::pending::StatusSince;
use super::rollup::{Counts, Millis, Rollup, Width, of_badness};
use super::shared::Shared;
use super::sketch::Sketch;
use super::value::Value;
use super::{heartbeats, raw, reason_rows};
use crate::model::{Reason, ServiceStatus, Status};

/// An instance of a service, as the store knows it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: i64,
    /// Whether the store did not know it before.
    pub(super) new: bool,
    /// Every run that ended before is in the roll-ups.
    rolled_up_to: Millis,
    service: Option<(ServiceStatus, Millis)>,
}

/// Names of checks by the ids that the store gave them.
type Names = HashMap<i64, Arc<str>>;

/// Finds the instance, or inserts it.
pub(super) async fn instance(
    conn: &mut Connection,
    service: &str,
    instance: &str,
    now: Millis,
) -> Result<Instance, StoreError> {
    let sql = "INSERT INTO vitalsign_instances (service, instance, rolled_up_to) \
               VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let rolled_up_to = Width::Minute.floor(now);
    let values = [service.into(), instance.into(), rolled_up_to.into()];
    let new = conn.execute(sql, &values).await? == 1;
    let sql = "SELECT id, rolled_up_to, status, since FROM vitalsign_instances \
               WHERE service = $1 AND instance = $2";
    let rows = conn.fetch(sql, &values[..2]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Trouble("a row has vanished".to_owned()))?;
    let status = row.maybe_text(2)?;
    let status = status.and_then(|s| ServiceStatus::ALL.iter().find(|v| v.as_str() == s).copied());
    let service = status.zip(row.maybe_int(3)?);
    Ok(Instance { id: row.int(0)?, new, rolled_up_to: row.int(1)?, service })
}

/// Names that one query looks up.
const NAMES: usize = 500;

/// The ids of those of `checks` that the store knows.
pub(super) async fn ids(
    conn: &mut Connection,
    instance: i64,
    checks: &[Arc<str>],
) -> Result<HashMap<Arc<str>, i64>, StoreError> {
    let mut ids = HashMap::new();
    for part in checks.chunks(NAMES) {
        let sql = format!(
            "SELECT id, name FROM vitalsign_checks WHERE instance_id = $1 AND name IN ({})",
            numbers(2, part.len())
        );
        let names = part.iter().map(|check| Value::from(&**check));
        let values: Vec<Value> = std::iter::once(instance.into()).chain(names).collect();
        for row in conn.fetch(&sql, &values).await? {
            ids.insert(row.text(1)?.into(), row.int(0)?);
        }
    }
    Ok(ids)
}

/// So many numbered parameters, from `$first` on, for a list.
fn numbers(first: usize, count: usize) -> String {
    let numbers: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    numbers.join(", ")
}

/// A roll-up of a check, as the store has it.
type Stored = (Width, Millis, Arc<str>, Rollup);

/// The roll-ups of checks that were removed and added again: as far back as memory keeps them, and
/// from the first period that is `waiting` to be written, because a row contains its whole period.
pub(super) async fn past(
    conn: &mut Connection,
    instance: i64,
    checks: HashMap<Arc<str>, i64>,
    waiting: &[(Width, Millis)],
) -> Result<Vec<Stored>, StoreError> {
    let now = super::shared::now();
    let names: Vec<(i64, Arc<str>)> = checks.into_iter().map(|(name, id)| (id, name)).collect();
    let mut found = Vec::new();
    for part in names.chunks(NAMES) {
        let names: Names = part.iter().cloned().collect();
        let ids: Vec<Value> = part.iter().map(|(id, _)| (*id).into()).collect();
        for (width, reach) in [
            (Width::Minute, Width::Hour.millis()),
            (Width::Hour, Width::Day.millis()),
            (Width::Day, 30 * Width::Day.millis()),
        ] {
            // A whole hour of minutes, day of hours or month of days before the current one.
            let from = width.floor(now - reach) - width.millis();
            let first =
                waiting.iter().filter(|(of, _)| *of == width).map(|(_, start)| *start).min();
            let from = first.map_or(from, |first| first.min(from));
            let sql = format!(
                "SELECT check_id, start, runs, good, slo_good, slo_counted, max_micros, worst, \
                 sketch FROM vitalsign_rollups WHERE instance_id = $1 AND width = $2 \
                 AND start >= $3 AND check_id IN ({})",
                numbers(4, ids.len())
            );
            let values = [instance.into(), width.millis().into(), from.into()];
            let values: Vec<Value> = values.into_iter().chain(ids.iter().cloned()).collect();
            for row in conn.fetch(&sql, &values).await? {
                let Some(name) = names.get(&row.int(0)?) else { continue };
                let (counts, sketch) = rollup(&row, 2)?;
                let rollup = Rollup { counts, sketch, ..Rollup::default() };
                found.push((width, row.int(1)?, Arc::clone(name), rollup));
            }
            // Days have none.
            for (_, start, id, reasons) in reason_rows::since(conn, instance, width, from).await? {
                let Some(name) = names.get(&id) else { continue };
                found.push((width, start, Arc::clone(name), reasons.into()));
            }
        }
    }
    Ok(found)
}

/// Loads all past data that is kept in memory.
pub(super) async fn load(
    conn: &mut Connection,
    shared: &Shared,
    instance: &Instance,
    now: Millis,
) -> Result<(), StoreError> {
    // The current periods must be set before data can be added to them.
    drop(shared.aggregates());
    let names = statuses(conn, shared, instance).await?;
    let mut loader = Loader { conn, shared, instance: instance.id, names: &names };
    // The roll-ups end here; single runs continue from here.
    let rolled = instance.rolled_up_to.min(now);
    let (hour, day) = (Width::Hour.floor(rolled), Width::Day.floor(rolled));
    let minutes_from = Width::Minute.floor(now - Width::Hour.millis());
    let hours_from = Width::Hour.floor(now - Width::Day.millis()).min(day);
    let days_from = Width::Day.floor(now - 30 * Width::Day.millis());

    loader.runs(rolled).await?;
    loader.minutes(hour, rolled, minutes_from).await?;
    loader
        .sums(Width::Minute, minutes_from, hour, |aggregates, check, at, counts| {
            minutes_ring(aggregates, check, at, counts);
        })
        .await?;
    loader
        .sums(Width::Hour, hours_from, hour, |aggregates, check, at, counts| {
            let Counts { slo_good: good, slo_counted: counted, .. } = *counts;
            let rings: &mut Rings = &mut aggregates.aggregate(check).rings;
            rings.quarters.spread(at, Width::Hour.millis(), good, counted);
            if at >= day {
                rings.four_hours.add(at, good, counted);
                aggregates.add(Width::Day, day, check, &(*counts).into());
            }
        })
        .await?;
    loader
        .sums(Width::Day, days_from, day, |aggregates, check, at, counts| {
            let rings = &mut aggregates.aggregate(check).rings;
            rings.four_hours.spread(at, Width::Day.millis(), counts.slo_good, counts.slo_counted);
        })
        .await?;
    reason_rows::load(conn, shared, instance.id, rolled, &names).await?;
    heartbeats::load(conn, shared, instance.id).await?;
    let known = names.iter().map(|(id, check)| (Arc::clone(check), *id));
    shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner).know(known);
    Ok(())
}

fn minutes_ring(aggregates: &mut Aggregates, check: &Arc<str>, at: Millis, counts: &Counts) {
    aggregates.aggregate(check).rings.minutes.add(at, counts.slo_good, counts.slo_counted);
}

/// Loads the statuses and what incidents are open.
async fn statuses(
    conn: &mut Connection,
    shared: &Shared,
    instance: &Instance,
) -> Result<Names, StoreError> {
    // Other checks were removed, or never had a status; if they are added again, their past is
    // loaded then.
    let sql = "SELECT id, name, status, since FROM vitalsign_checks WHERE instance_id = $1 \
               AND (status IS NOT NULL OR id IN (SELECT check_id FROM vitalsign_incidents \
               WHERE instance_id = $1 AND ended IS NULL))";
    let checks = conn.fetch(sql, &[instance.id.into()]).await?;
    let open = periods(conn, instance.id).await?;
    let mut names = Names::new();
    let mut aggregates = shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
    for row in &checks {
        let name: Arc<str> = row.text(1)?.into();
        let status = row.maybe_text(2)?.as_deref().and_then(status);
        let held: StatusSince = status.zip(row.maybe_int(3)?);
        names.insert(row.int(0)?, Arc::clone(&name));
        if held.is_some() {
            aggregates.recall(&name, held);
        }
    }
    for (check, period) in open {
        if let Some(name) = names.get(&check) {
            aggregates.reopen(name, period);
        }
    }
    if aggregates.pending.service.is_none() {
        aggregates.service = instance.service;
    }
    aggregates.end_unplanned(super::rollup::millis(std::time::SystemTime::now()));
    Ok(names)
}

/// The status of this text.
pub(super) fn status(text: &str) -> Option<Status> {
    Status::ALL.iter().find(|status| status.as_str() == text).copied()
}

/// The reason of this text.
pub(super) fn reason(text: &str) -> Option<Reason> {
    Reason::ALL.iter().find(|reason| reason.as_str() == text).copied()
}

async fn periods(conn: &mut Connection, instance: i64) -> Result<Vec<(i64, Period)>, StoreError> {
    let sql = "SELECT check_id, id, started, worst, reason, message, trace_id \
               FROM vitalsign_incidents WHERE instance_id = $1 AND ended IS NULL \
               ORDER BY started";
    let rows = conn.fetch(sql, &[instance.into()]).await?;
    let period = |row: &super::row::Row| {
        let period = Period {
            id: u64::try_from(row.int(1)?).unwrap_or(0),
            start: row.int(2)?,
            end: None,
            worst: status(&row.text(3)?).unwrap_or(Status::Unknown),
            reason: row.maybe_text(4)?.as_deref().and_then(reason),
            message: row.maybe_text(5)?,
            trace_id: row.maybe_text(6)?,
        };
        Ok((row.int(0)?, period))
    };
    rows.iter().map(period).collect()
}

struct Loader<'a> {
    conn: &'a mut Connection,
    shared: &'a Shared,
    instance: i64,
    names: &'a Names,
}

impl Loader<'_> {
    /// Loads the single runs that are in no roll-up: those that ended from `rolled` on.
    async fn runs(&mut self, rolled: Millis) -> Result<(), StoreError> {
        // A row holds what ended after its key; before it, by as much as a flush takes.
        let sql = "SELECT at, data FROM vitalsign_runs WHERE instance_id = $1 AND at >= $2 \
                   ORDER BY at";
        let since = rolled - 3 * Width::Hour.millis();
        let rows = self.conn.fetch(sql, &[self.instance.into(), since.into()]).await?;
        for row in rows {
            let (key, data) = (row.int(0)?, row.blob(1)?);
            let mut aggregates =
                self.shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, runs) in raw::each_in_shard(&data) {
                let Some(check) = self.names.get(&id) else { continue };
                let runs = raw::decode(runs, key).unwrap_or_default();
                for run in runs.iter().filter(|run| run.at >= rolled) {
                    let mut rollup = Rollup::default();
                    rollup.record(run);
                    for width in [Width::Minute, Width::Hour] {
                        aggregates.add(width, width.floor(run.at), check, &rollup);
                    }
                    let day = Width::Day.floor(run.at);
                    aggregates.add(Width::Day, day, check, &rollup.counts.into());
                    aggregates.aggregate(check).rings.add(run.at, &rollup.counts);
                }
            }
        }
        Ok(())
    }

    /// Loads the minutes of the hour that had not ended at `until`.
    async fn minutes(
        &mut self,
        hour: Millis,
        until: Millis,
        ring_from: Millis,
    ) -> Result<(), StoreError> {
        let day = Width::Day.floor(hour);
        let sql = "SELECT check_id, runs, good, slo_good, slo_counted, max_micros, worst, sketch \
                   FROM vitalsign_rollups WHERE instance_id = $1 AND width = $2 AND start = $3";
        let mut start = hour;
        while start < until {
            let values = [self.instance.into(), Width::Minute.millis().into(), start.into()];
            let rows = self.conn.fetch(sql, &values).await?;
            let mut aggregates =
                self.shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
            for row in &rows {
                let Some(check) = self.names.get(&row.int(0)?) else { continue };
                let (counts, sketch) = rollup(row, 1)?;
                aggregates.add(
                    Width::Hour,
                    hour,
                    check,
                    &Rollup { counts, sketch, ..Rollup::default() },
                );
                aggregates.add(Width::Day, day, check, &counts.into());
                let rings = &mut aggregates.aggregate(check).rings;
                let Counts { slo_good: good, slo_counted: counted, .. } = counts;
                rings.quarters.add(start, good, counted);
                rings.four_hours.add(start, good, counted);
                if start >= ring_from {
                    rings.minutes.add(start, good, counted);
                }
            }
            drop(aggregates);
            start += Width::Minute.millis();
        }
        Ok(())
    }

    /// Hands the sums of every check's roll-ups of `width` from `from` up to `until` to `take`.
    async fn sums(
        &mut self,
        width: Width,
        from: Millis,
        until: Millis,
        mut take: impl FnMut(&mut Aggregates, &Arc<str>, Millis, &Counts),
    ) -> Result<(), StoreError> {
        // One text for all checks: one row per check would be the largest part of the cost.
        let sql = "SELECT string_agg(check_id || ' ' || runs || ' ' || good || ' ' || slo_good \
                   || ' ' || slo_counted || ' ' || max_micros || ' ' || coalesce(worst, -1), ',') \
                   FROM vitalsign_rollups WHERE instance_id = $1 AND width = $2 AND start = $3";
        let mut start = from;
        while start < until {
            let values: [Value; 3] = [self.instance.into(), width.millis().into(), start.into()];
            let rows = self.conn.fetch(sql, &values).await?;
            let text = rows.first().map_or(Ok(None), |row| row.maybe_text(0))?.unwrap_or_default();
            let mut aggregates =
                self.shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, counts) in text.split(',').filter_map(sum) {
                if let Some(check) = self.names.get(&id) {
                    take(&mut aggregates, check, start, &counts);
                }
            }
            drop(aggregates);
            start += width.millis();
        }
        Ok(())
    }
}

/// An id or a start, and the sums after it, as queries write them into one text.
pub(super) fn sum(text: &str) -> Option<(i64, Counts)> {
    let mut numbers = text.split(' ').map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let id = next()?;
    let mut count = || u32::try_from(next()?).ok();
    let counts = Counts {
        runs: count()?,
        good: count()?,
        slo_good: count()?,
        slo_counted: count()?,
        max_micros: u64::try_from(next()?).ok()?,
        worst: of_badness(next()?),
    };
    Some((id, counts))
}

/// The sums in seven columns of `row` from `first` on, and the sketch of the eighth.
pub(super) fn rollup(row: &super::row::Row, first: usize) -> Result<(Counts, Sketch), StoreError> {
    let count = |column| row.int(first + column).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let counts = Counts {
        runs: count(0)?,
        good: count(1)?,
        slo_good: count(2)?,
        slo_counted: count(3)?,
        max_micros: u64::try_from(row.int(first + 4)?).unwrap_or(0),
        worst: row.maybe_int(first + 5)?.and_then(of_badness),
    };
    let sketch = Sketch::decode(&row.blob(first + 6)?).unwrap_or_default();
    Ok((counts, sketch))
}
