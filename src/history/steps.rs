//! Computes the past of a check in steps, from single runs, minutes or hours, whichever is exact
//! enough.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::error::StoreError;
use super::prune::MINUTES;
use super::rollup::{Millis, Rollup, Width, time};
use super::shared::now;
use super::sketch::Sketch;
use super::{Inner, ReadError, Share, Step, load, raw, reason_rows};

/// Most steps of one answer.
const MAX_STEPS: i64 = 100_000;

const MINUTE: Millis = Width::Minute.millis();
const HOUR: Millis = Width::Hour.millis();

/// The parts of the past and their sources; each part ends where the next begins.
#[derive(Debug, PartialEq, Eq)]
struct Sources {
    hours: Millis,
    minutes: Millis,
    runs: Millis,
}

impl Sources {
    fn of(from: Millis, to: Millis, step: Millis, now: Millis) -> Self {
        let on_hours = step % HOUR == 0 && (from % HOUR == 0 || step >= 6 * HOUR);
        if on_hours {
            return Self { hours: Width::Hour.floor(from), minutes: to, runs: to };
        }
        let on_minutes = step % MINUTE == 0 && from % MINUTE == 0;
        // The first minute of which every run is still there.
        let runs = Width::Minute.floor(now - HOUR) + MINUTE;
        let runs = if on_minutes { to } else { runs.clamp(from, to.max(from)) };
        // The first hour of which every minute is.
        let minutes = Width::Hour.floor(now - MINUTES) + 2 * HOUR;
        if from >= minutes {
            let minutes = if runs == from { from } else { Width::Minute.floor(from) };
            return Self { hours: minutes, minutes, runs };
        }
        let minutes = minutes.min(runs);
        Self { hours: Width::Hour.floor(from), minutes, runs }
    }
}

/// The starts of the roll-ups that the part from `first` to `end` is read from: none from before
/// `oldest`, nor from far ahead.
///
/// An empty part stays empty: the roll-up that its start falls in is of runs that are read singly.
fn clip(
    (first, end): (Millis, Millis),
    width: Width,
    oldest: Millis,
    now: Millis,
) -> (Millis, Millis) {
    if first >= end {
        return (end, end);
    }
    let oldest = width.floor(oldest) - width.millis();
    (width.floor(first.max(oldest)), end.min(now + HOUR))
}

/// Steps being filled.
struct StepGrid {
    from: Millis,
    step: Millis,
    steps: Vec<Rollup>,
}

impl StepGrid {
    fn new(from: Millis, to: Millis, step: Millis) -> Self {
        let span = to.saturating_sub(from).max(0);
        let count = (span / step + i64::from(span % step > 0)).min(MAX_STEPS);
        Self { from, step, steps: vec![Rollup::default(); usize::try_from(count).unwrap_or(0)] }
    }

    /// Adds a roll-up to the step that it begins in, or to the first if it began before that.
    fn add(&mut self, start: Millis, rollup: &Rollup) {
        let at = usize::try_from((start - self.from).max(0) / self.step).ok();
        if let Some(step) = at.and_then(|at| self.steps.get_mut(at)) {
            step.merge(rollup);
        }
    }

    fn finish(self) -> Vec<Step> {
        let (from, width) = (self.from, self.step);
        let starts = (0..).map(|i| time(from.saturating_add(width.saturating_mul(i))));
        starts.zip(&self.steps).map(|(at, rollup)| step(at, rollup)).collect()
    }
}

fn step(at: std::time::SystemTime, rollup: &Rollup) -> Step {
    let counts = &rollup.counts;
    let max = (counts.runs > 0).then(|| Duration::from_micros(counts.max_micros));
    // A bucket's middle may lie above the longest in it.
    let quantile = |q| {
        let micros = rollup.sketch.quantile(q)?;
        Some(Duration::from_secs_f64(micros / 1e6).min(max?))
    };
    Step {
        at,
        runs: counts.runs.into(),
        good: counts.good.into(),
        share: Share { good: counts.slo_good.into(), counted: counts.slo_counted.into() },
        p50: quantile(0.5),
        p95: quantile(0.95),
        max,
        worst: counts.worst,
        reasons: rollup.reasons.iter().map(|(reason, runs)| (reason, runs.into())).collect(),
    }
}

/// What memory holds of a check: it is newer than what the store does.
#[derive(Default)]
struct Recent {
    id: Option<i64>,
    /// By width and start; a width is there in full from its first on.
    rollups: Vec<(Width, Millis, Rollup)>,
    raw: Vec<u8>,
    raw_key: Millis,
}

impl Inner {
    fn recent(&self, check: &str) -> Recent {
        let aggregates = self.shared.aggregates();
        let mut rollups = Vec::new();
        for ((width, start), of_all) in &aggregates.pending.rollups {
            if let Some(rollup) = of_all.get(check) {
                rollups.push((*width, *start, rollup.clone()));
            }
        }
        let mut recent = Recent {
            id: aggregates.ids.get(check).copied(),
            rollups,
            raw: Vec::new(),
            raw_key: aggregates.pending.raw_key,
        };
        if let Some(aggregate) = aggregates.of.get(check) {
            recent.rollups.push((Width::Minute, aggregates.minute, aggregate.minute.clone()));
            let hour = Width::Hour.floor(aggregates.minute);
            recent.rollups.push((Width::Hour, hour, aggregate.hour.clone()));
            recent.raw.clone_from(&aggregate.raw);
        }
        recent
    }

    pub(super) async fn steps(
        &self,
        check: &str,
        (from, to): (Millis, Millis),
        step: Millis,
    ) -> Result<Vec<Step>, ReadError> {
        let now = now();
        let mut grid = StepGrid::new(from, to, step);
        let to = to.min(from.saturating_add(step.saturating_mul(MAX_STEPS)));
        let sources = Sources::of(from, to, step, now);
        let recent = self.recent(check);
        let (hours, minutes) =
            ((sources.hours, sources.minutes.min(to)), (sources.minutes, sources.runs.min(to)));
        // The minutes of the part that is read from single runs.
        let within_runs = Width::Minute.floor(sources.runs)..to;
        let mut known = HashSet::new();
        // While what the store remembers is being loaded, memory has the runs of a period first.
        let mut reasons_known = HashSet::new();
        for (width, start, rollup) in &recent.rollups {
            let (first, end) = match width {
                Width::Minute => minutes,
                Width::Hour => hours,
                Width::Day => continue,
            };
            known.insert((*width, *start));
            if !rollup.reasons.is_empty() {
                reasons_known.insert((*width, *start));
            }
            if (first..end).contains(start) {
                grid.add(*start, rollup);
            } else if *width == Width::Minute && within_runs.contains(start) {
                // Single runs have no reasons.
                grid.add(*start, &rollup.reasons.clone().into());
            }
        }
        let within = |at: Millis| at >= sources.runs && at < to;
        let add_runs = |grid: &mut StepGrid, runs: &[u8], key: Millis| {
            for run in raw::decode(runs, key).unwrap_or_default() {
                if within(run.at) {
                    let mut rollup = Rollup::default();
                    rollup.record(&run);
                    grid.add(run.at, &rollup);
                }
            }
        };
        add_runs(&mut grid, &recent.raw, recent.raw_key);
        // There is no data before or after this.
        let kept = i64::try_from(self.shared.options.retention.as_millis()).unwrap_or(i64::MAX / 4);
        let clip = |part, width: Width| clip(part, width, now.saturating_sub(kept), now);
        let hours = (Width::Hour, clip(hours, Width::Hour));
        let minutes = (Width::Minute, clip(minutes, Width::Minute));
        let reasons = [hours, (Width::Minute, clip((sources.minutes, to), Width::Minute))];
        let runs = sources.runs;
        let (id, name) = (recent.id, Arc::<str>::from(check));
        let stored = self.ask(move |conn, instance| {
            Box::pin(async move {
                // Memory has no id of a check that was removed.
                let id = match id {
                    Some(id) => Some(id),
                    None => load::ids(conn, instance, &[name]).await?.into_values().next(),
                };
                let Some(id) = id else { return Ok((Vec::new(), Vec::new(), Vec::new())) };
                let mut rollups = stored(conn, instance, id, hours).await?;
                rollups.extend(stored(conn, instance, id, minutes).await?);
                let runs = if runs < to {
                    stored_runs(conn, instance, id, runs).await?
                } else {
                    Vec::new()
                };
                let mut why = Vec::new();
                for part in reasons {
                    why.extend(reason_rows::of_check(conn, instance, id, part).await?);
                }
                Ok((rollups, runs, why))
            })
        });
        let (rollups, runs, why) = stored.await?;
        for (width, start, rollup) in rollups {
            if !known.contains(&(width, start)) {
                grid.add(start, &rollup);
            }
        }
        for (width, start, _, reasons) in why {
            if !reasons_known.contains(&(width, start)) {
                grid.add(start, &reasons.into());
            }
        }
        for (key, runs) in runs.iter().filter(|(key, _)| *key != recent.raw_key) {
            add_runs(&mut grid, runs, *key);
        }
        Ok(grid.finish())
    }
}

/// The roll-ups of a check that begin from `first` on and before `end`.
async fn stored(
    conn: &mut Connection,
    instance: i64,
    check: i64,
    (width, (first, end)): (Width, (Millis, Millis)),
) -> Result<Vec<(Width, Millis, Rollup)>, StoreError> {
    if first >= end {
        return Ok(Vec::new());
    }
    // Each is looked up by its key, because the rows of all checks at one time are stored together.
    // The result is one text, because one row each would be the largest part of the cost.
    let sql = format!(
        "WITH RECURSIVE slots (slot) AS (SELECT CAST($1 AS BIGINT) UNION ALL \
         SELECT slot + $2 FROM slots WHERE slot + $2 < $3) \
         SELECT string_agg(start || ' ' || runs || ' ' || good || ' ' || slo_good || ' ' \
         || slo_counted || ' ' || max_micros || ' ' || coalesce(worst, -1) || ' ' || {}, ',') \
         FROM slots CROSS JOIN vitalsign_rollups \
         WHERE instance_id = $4 AND width = $2 AND start = slot AND check_id = $5",
        conn.hex("sketch")
    );
    let values = [first.into(), width.millis().into(), end.into(), instance.into(), check.into()];
    let rows = conn.fetch(&sql, &values).await?;
    let text = rows.first().map_or(Ok(None), |row| row.maybe_text(0))?.unwrap_or_default();
    let rollup = |text: &str| {
        let (sums, sketch) = text.rsplit_once(' ')?;
        let (start, counts) = load::sum(sums)?;
        let sketch = unhex(sketch).and_then(|bytes| Sketch::decode(&bytes)).unwrap_or_default();
        Some((width, start, Rollup { counts, sketch, ..Rollup::default() }))
    };
    Ok(text.split(',').filter_map(rollup).collect())
}

/// The bytes that hexadecimal digits stand for.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// The single runs of a check, in the rows that may hold some from `from` on.
async fn stored_runs(
    conn: &mut Connection,
    instance: i64,
    check: i64,
    from: Millis,
) -> Result<Vec<(Millis, Vec<u8>)>, StoreError> {
    let sql = "SELECT at, data FROM vitalsign_runs \
               WHERE instance_id = $1 AND at >= $2 AND shard = $3";
    // A row holds what ended after its key, for as long as the store was away.
    let since = from - 3 * HOUR;
    let values = [instance.into(), since.into(), raw::shard(check).into()];
    let rows = conn.fetch(sql, &values).await?;
    let mut found = Vec::new();
    for row in &rows {
        let (key, data) = (row.int(0)?, row.blob(1)?);
        let of_check = raw::each_in_shard(&data).filter(|(id, _)| *id == check);
        found.extend(of_check.map(|(_, runs)| (key, runs.to_vec())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_begin_within_a_minute_read_no_roll_up_of_it_beside_its_single_runs() {
        let now = 1_789_000_007_000;
        let from = Width::Minute.floor(now) - 40_000;
        let sources = Sources::of(from, now, 1_000, now);
        assert_eq!(sources.runs, from);
        for (part, width) in [
            ((sources.hours, sources.minutes), Width::Hour),
            ((sources.minutes, sources.runs), Width::Minute),
        ] {
            let (first, end) = clip(part, width, 0, now);
            assert!(first >= end, "{width:?} from {first} to {end} for {from}");
        }
        let minutes = (Width::Minute.floor(from) - 3 * MINUTE, from);
        assert_eq!(clip(minutes, Width::Minute, 0, now), minutes);
        assert_eq!(clip(minutes, Width::Minute, from, now).0, Width::Minute.floor(from) - MINUTE);
    }
}
