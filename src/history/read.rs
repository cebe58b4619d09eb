//! Queries of readers: each has a time limit and runs on the history's own thread.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use super::connection::Connection;
use super::error::StoreError;
use super::options::Place;
use super::rollup::{Counts, Millis, Width, of_badness, time};
use super::row::Row;
use super::shared::now;
use super::value::Value;
use super::writer::Command;
use super::{Change, Day, Incident, IncidentFilter, IncidentPage, Inner, ReadError, Share, load};
use crate::model::log_targets;
use crate::model::{Status, Trace, Transition};

/// Longest time that a reader waits.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Part of that time in which it waits for a flush of the newest data.
const SETTLE: Duration = Duration::from_secs(1);

/// How old a cached answer about days may be; only today changes.
const DAYS_KEPT: Millis = 30_000;

/// Most days of one answer.
const MAX_DAYS: usize = 3_660;

/// Most incidents or changes of one answer.
const MAX_ROWS: usize = 1_000;

/// Every check's days.
type Days = BTreeMap<String, Vec<Day>>;

/// The last answer about days: when it was given, for how many, and what it was.
pub(super) type CachedDays = Mutex<Option<(Millis, usize, Arc<Days>)>>;

impl Inner {
    /// Runs a query on the history's own thread.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl for<'c> FnOnce(&'c mut Connection, i64) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, ReadError> {
        let shared = Arc::clone(&self.shared);
        let asked = self.runtime.spawn(async move {
            let instance = shared.instance.load(Ordering::Acquire);
            if instance == 0 {
                return Err(ReadError::Unavailable);
            }
            let mut slot = timeout(TIMEOUT, shared.reader().lock())
                .await
                .map_err(|_| ReadError::Unavailable)?;
            let place = &shared.options.place;
            let step = async {
                let conn = match (&mut *slot, place) {
                    (Some(conn), _) => conn,
                    // A new connection would open another, empty database in memory.
                    (None, Place::Memory) => {
                        return Err(StoreError::Trouble("it has ended".to_owned()));
                    }
                    (slot, place) => slot.insert(Connection::connect(place).await?),
                };
                question(conn, instance).await
            };
            // Wait for SQLite's thread: further connections would only hang, too.
            let answer = match place {
                Place::Postgres(_) => timeout(TIMEOUT, step)
                    .await
                    .unwrap_or_else(|_| Err(StoreError::Trouble("no answer in time".to_owned()))),
                Place::File(_) | Place::Memory => step.await,
            };
            answer.map_err(|error| {
                if !matches!(place, Place::Memory) {
                    drop(slot.take());
                }
                tracing::debug!(
                    target: log_targets::HISTORY,
                    cause = error.to_string(), "the history cannot be read"
                );
                ReadError::Unavailable
            })
        });
        match timeout(TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            _ => Err(ReadError::Unavailable),
        }
    }

    /// Has what has just happened written, so that it is found.
    pub(super) async fn settle(&self) {
        if !self.shared.aggregates().pending.is_urgent() {
            return;
        }
        let (done, written) = oneshot::channel();
        if self.commands.try_send(Command::Flush(done)).is_ok() {
            let _ = timeout(SETTLE, written).await;
        }
    }

    pub(super) async fn incidents(
        &self,
        filter: &IncidentFilter,
    ) -> Result<IncidentPage, ReadError> {
        let after = filter.after.as_deref().map(position).transpose()?;
        let limit = filter.limit.min(MAX_ROWS);
        if limit == 0 {
            return Ok(IncidentPage::default());
        }
        self.settle().await;
        let mut values: Vec<Value> = vec![0.into()];
        let mut sql = "SELECT c.name, i.started, i.ended, i.worst, i.reason, i.message, \
                       i.trace_id, i.id FROM vitalsign_incidents i \
                       JOIN vitalsign_checks c ON c.id = i.check_id WHERE i.instance_id = $1"
            .to_owned();
        let mut and = |condition: &str, given: Vec<Value>| {
            let mut condition = condition.to_owned();
            for value in given {
                values.push(value);
                condition = condition.replacen('?', &format!("${}", values.len()), 1);
            }
            sql.push_str(" AND ");
            sql.push_str(&condition);
        };
        if let Some(check) = &filter.check {
            and("c.name = ?", vec![check.as_str().into()]);
        }
        if let Some(from) = filter.from {
            and("(i.ended IS NULL OR i.ended > ?)", vec![super::millis(from).into()]);
        }
        if let Some(to) = filter.to {
            and("i.started <= ?", vec![super::millis(to).into()]);
        }
        if let Some((start, id)) = after {
            and("(i.started, i.id) < (?, ?)", vec![start.into(), id.into()]);
        }
        let _ = write!(sql, " ORDER BY i.started DESC, i.id DESC LIMIT {}", limit + 1);
        let rows = self.ask(move |conn, instance| {
            Box::pin(async move {
                if let Some(first) = values.first_mut() {
                    *first = instance.into();
                }
                let rows = conn.fetch(&sql, &values).await?;
                rows.iter().map(|row| Ok((incident(row)?, row.int(1)?, row.int(7)?))).collect()
            })
        });
        let mut rows: Vec<(Incident, Millis, i64)> = rows.await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|(_, start, id)| format!("{start}-{id}"));
        Ok(IncidentPage { incidents: rows.into_iter().map(|(i, _, _)| i).collect(), next })
    }

    pub(super) async fn changes_after(
        &self,
        id: u64,
        limit: usize,
    ) -> Result<Vec<Change>, ReadError> {
        self.settle().await;
        let id = i64::try_from(id).unwrap_or(i64::MAX);
        let limit = limit.min(MAX_ROWS);
        self.ask(move |conn, instance| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT c.name, h.id, h.at, h.from_status, h.to_status, h.reason, h.message, \
                     h.trace_id FROM vitalsign_changes h \
                     JOIN vitalsign_checks c ON c.id = h.check_id \
                     WHERE h.instance_id = $1 AND h.id > $2 ORDER BY h.id LIMIT {limit}"
                );
                let rows = conn.fetch(&sql, &[instance.into(), id.into()]).await?;
                rows.iter().map(change).collect()
            })
        })
        .await
    }

    pub(super) async fn days(&self, days: usize) -> Result<Arc<Days>, ReadError> {
        let days = days.min(MAX_DAYS);
        // Other readers that wait meanwhile get the same answer.
        let mut cached = self.days.lock().await;
        let now = now();
        if let Some((at, of, answer)) = &*cached
            && *of == days
            && (0..DAYS_KEPT).contains(&(now - at))
            && Width::Day.floor(now) == Width::Day.floor(*at)
        {
            return Ok(Arc::clone(answer));
        }
        let width = Width::Day.millis();
        let today = Width::Day.floor(now);
        let first = today - width * (i64::try_from(days).unwrap_or(1) - 1);
        let stored = self.ask(move |conn, instance| {
            Box::pin(async move {
                // One text per check: one row per day would cost ten times as much.
                let sql = "SELECT check_id, string_agg(start || ' ' || slo_good || ' ' \
                           || slo_counted || ' ' || coalesce(worst, -1), ',') \
                           FROM vitalsign_rollups \
                           WHERE instance_id = $1 AND width = $2 AND start >= $3 \
                           GROUP BY check_id";
                let values = [instance.into(), width.into(), first.into()];
                let rows = conn.fetch(sql, &values).await?;
                rows.iter().map(|row| Ok((row.int(0)?, row.text(1)?))).collect()
            })
        });
        let stored: Vec<(i64, String)> = stored.await?;
        let mut answer = Days::new();
        let mut put = |check: &str, start: Millis, day: Day| {
            let age = usize::try_from((today - start) / width).ok();
            let strip = match answer.get_mut(check) {
                Some(strip) => strip,
                None => answer.entry(check.to_owned()).or_insert(vec![Day::default(); days]),
            };
            let at = age.and_then(|age| (days - 1).checked_sub(age));
            if let Some(place) = at.and_then(|at| strip.get_mut(at)) {
                *place = day;
            }
        };
        if days > 0 {
            let aggregates = self.shared.aggregates();
            let names: BTreeMap<i64, &Arc<str>> =
                aggregates.ids.iter().map(|(n, id)| (*id, n)).collect();
            for (id, text) in &stored {
                let Some(check) = names.get(id) else { continue };
                text.split(',').filter_map(day).for_each(|(start, day)| put(check, start, day));
            }
            // The data in memory is newer.
            for ((width, start), rollups) in &aggregates.pending.rollups {
                if *width == Width::Day {
                    rollups.iter().for_each(|(c, r)| put(c, *start, (&r.counts).into()));
                }
            }
            for (check, aggregate) in
                aggregates.of.iter().filter(|(_, aggregate)| !aggregate.day.is_empty())
            {
                put(check, today, (&aggregate.day).into());
            }
        }
        let answer = Arc::new(answer);
        *cached = Some((now, days, Arc::clone(&answer)));
        Ok(answer)
    }
}

impl From<&Counts> for Day {
    fn from(counts: &Counts) -> Self {
        let (good, counted) = (counts.slo_good.into(), counts.slo_counted.into());
        Self { share: Share { good, counted }, worst: counts.worst }
    }
}

/// A day as the query for days writes it.
fn day(text: &str) -> Option<(Millis, Day)> {
    let mut numbers = text.split(' ').map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let start = next()?;
    let (good, counted) = (u64::try_from(next()?).ok()?, u64::try_from(next()?).ok()?);
    Some((start, Day { share: Share { good, counted }, worst: of_badness(next()?) }))
}

/// The position of the next page: start and id of the last incident.
fn position(text: &str) -> Result<(Millis, i64), ReadError> {
    let parse = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 0);
    let parsed = text.split_once('-').and_then(|(start, id)| Some((parse(start)?, parse(id)?)));
    parsed.ok_or(ReadError::BadPosition)
}

fn incident(row: &Row) -> Result<Incident, StoreError> {
    Ok(Incident {
        check: row.text(0)?,
        start: time(row.int(1)?),
        end: row.maybe_int(2)?.map(time),
        worst: load::status(&row.text(3)?).unwrap_or(Status::Unknown),
        reason: row.maybe_text(4)?.as_deref().and_then(load::reason),
        message: row.maybe_text(5)?,
        trace_id: row.maybe_text(6)?,
    })
}

fn change(row: &Row) -> Result<Change, StoreError> {
    let status = |text: &str| load::status(text).unwrap_or(Status::Unknown);
    let trace_id = row.maybe_text(7)?.and_then(|text| u128::from_str_radix(&text, 16).ok());
    let transition = Transition {
        id: u64::try_from(row.int(1)?).unwrap_or(0),
        from: status(&row.text(3)?),
        to: status(&row.text(4)?),
        at: time(row.int(2)?),
        since: time(row.int(2)?),
        reason: row.maybe_text(5)?.as_deref().and_then(load::reason),
        message: row.maybe_text(6)?,
        trace: trace_id.map(|trace_id| Trace { trace_id, span_id: 0, sampled: true }),
    };
    Ok(Change { check: row.text(0)?, transition })
}
