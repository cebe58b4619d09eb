//! A history that a benchmark generates, written by what writes a real one.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::connection::Connection;
use super::error::StoreError;
use super::incident::{Changed, Period};
use super::options::HistoryOptions;
use super::prune::MINUTES;
use super::rollup::{Counts, HistoryRun, Millis, Rollup, Width};
use super::shared::{Shared, now};
use super::write::{self, FlushReason};
use super::{load, raw, schema};
use crate::model::{Outcome, Reason, Status};

const MINUTE: Millis = Width::Minute.millis();
const HOUR: Millis = Width::Hour.millis();
const DAY: Millis = Width::Day.millis();

/// Time from one run of a check to the next, and from one flush to the next.
const INTERVAL: Millis = 10_000;

/// How long a check is down, once a day.
const DOWN: Millis = 5 * MINUTE;

/// What is being generated.
struct Generator {
    shared: Shared,
    conn: Connection,
    instance: i64,
    checks: Vec<GeneratedCheck>,
    now: Millis,
}

/// A check, and what its day has been so far.
struct GeneratedCheck {
    name: Arc<str>,
    number: u32,
    day: Counts,
    /// The state of a small generator of numbers.
    random: u64,
}

/// Writes the past of as many checks, each asked every ten seconds for so many days up to now and
/// down once a day.
pub(crate) async fn generate(
    options: HistoryOptions,
    checks: impl IntoIterator<Item = String>,
    days: u32,
) -> Result<(), String> {
    let generated = async {
        let mut generator = Generator::new(options, checks).await?;
        generator.make(i64::from(days)).await?;
        generator.conn.close().await;
        Ok::<_, StoreError>(())
    };
    generated.await.map_err(|error| error.to_string())
}

impl GeneratedCheck {
    /// The run that ended at `at`: of a length that varies as a network's do, around one of the
    /// check's own, and now and then much longer.
    fn ran(&mut self, at: Millis) -> HistoryRun {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let part = |shift: u32| (self.random >> shift) % 1_000;
        let usual = 1_500 + 397 * u64::from(self.number);
        let spread = part(0) * part(10) / 1_000 + part(20) / 4;
        let rarely = if part(30) < 10 { 8 } else { 1 };
        let micros = usual * (800 + spread) / 1_000 * rarely;
        let outcome = if self.is_down(at) { Outcome::Failure } else { Outcome::Success };
        HistoryRun { at, micros, outcome, status: outcome.status(), maintenance: false, times: 1 }
    }

    /// When it is down on the day of `at`.
    fn down(&self, at: Millis) -> Range<Millis> {
        let start = Width::Day.floor(at) + i64::from(self.number % 23) * HOUR + 7 * MINUTE;
        start..start + DOWN
    }

    fn is_down(&self, at: Millis) -> bool {
        self.down(at).contains(&at)
    }
}

impl Generator {
    async fn new(
        options: HistoryOptions,
        checks: impl IntoIterator<Item = String>,
    ) -> Result<Self, StoreError> {
        let shared = Shared::new(options);
        let mut conn = Connection::connect(&shared.options.place).await?;
        schema::migrate(&mut conn).await?;
        // It is made once, and need not survive a loss of power meanwhile.
        conn.execute("PRAGMA synchronous = OFF", &[]).await?;
        let now = now();
        let options = &shared.options;
        let of = load::instance(&mut conn, &options.service, &options.instance, now).await?;
        let checks: Vec<GeneratedCheck> = (0..)
            .zip(checks)
            .map(|(number, name)| {
                let random = 0x9e37_79b9_7f4a_7c15 ^ u64::from(number);
                GeneratedCheck { name: name.into(), number, day: Counts::default(), random }
            })
            .collect();
        for made in &checks {
            shared.aggregates().aggregate(&made.name);
        }
        Ok(Self { shared, conn, instance: of.id, checks, now })
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        write::flush(&mut self.conn, &self.shared, self.instance, FlushReason::Shutdown).await?;
        Ok(())
    }

    async fn make(&mut self, days: i64) -> Result<(), StoreError> {
        let today = Width::Day.floor(self.now);
        let mut hour = today - days * DAY;
        while hour < self.now {
            self.hour(hour);
            self.flush().await?;
            hour += HOUR;
        }
        self.single_runs().await
    }

    /// Makes the roll-ups of an hour, up to now, and what changed in it.
    fn hour(&mut self, start: Millis) {
        let until = (start + HOUR).min(Width::Minute.floor(self.now));
        let mut aggregates = self.shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        for made in &mut self.checks {
            let mut hour = Rollup::default();
            let mut minute = start;
            while minute < until {
                let mut rollup = Rollup::default();
                for run in 0..MINUTE / INTERVAL {
                    rollup.record(&made.ran(minute + run * INTERVAL));
                }
                hour.merge(&rollup);
                if minute >= self.now - MINUTES {
                    aggregates.pending.add((Width::Minute, minute), &made.name, &rollup);
                }
                minute += MINUTE;
            }
            made.day.merge(&hour.counts);
            if start + HOUR <= self.now {
                aggregates.pending.add((Width::Hour, start), &made.name, &hour);
            }
            if Width::Day.floor(start) != Width::Day.floor(start + HOUR) {
                let day = std::mem::take(&mut made.day);
                aggregates.pending.add(
                    (Width::Day, Width::Day.floor(start)),
                    &made.name,
                    &day.into(),
                );
            }
            let down = made.down(start);
            if !(start..until).contains(&down.start) || down.end > self.now {
                continue;
            }
            let [begun, ended] = changes(made.number, &down);
            let held = Some((Status::Up, ended.at));
            aggregates.pending.statuses.insert(Arc::clone(&made.name), held);
            aggregates.pending.incident(&made.name, period(&begun, ended.at));
            aggregates.pending.change(&made.name, begun);
            aggregates.pending.change(&made.name, ended);
        }
    }

    /// Makes the single runs of the last hour, in the rows that flushes of them leave.
    async fn single_runs(&mut self) -> Result<(), StoreError> {
        let mut at = self.now - HOUR;
        while at < self.now {
            {
                let mut aggregates =
                    self.shared.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
                for made in &mut self.checks {
                    let ran = made.ran(at);
                    let bytes = &mut aggregates.aggregate(&made.name).raw;
                    raw::append(bytes, &ran);
                    let length = bytes.len();
                    aggregates.pending.raw += length;
                }
                aggregates.pending.raw_key = at;
            }
            self.flush().await?;
            at += INTERVAL;
        }
        Ok(())
    }
}

/// How a check goes down and comes back.
fn changes(number: u32, down: &Range<Millis>) -> [Changed; 2] {
    let change = |at: Millis, from, to, reason: Option<Reason>| Changed {
        // Microseconds, and different ones for checks that change in the same millisecond.
        id: at.unsigned_abs() * 1_000 + u64::from(number),
        at,
        from,
        to,
        reason,
        message: reason.map(|_| "connection refused by orders-db.internal:5432".to_owned()),
        trace_id: Some(format!("{:032x}", at.unsigned_abs() * 7_919)),
    };
    [
        change(down.start, Status::Up, Status::Down, Some(Reason::ConnectionRefused)),
        change(down.end, Status::Down, Status::Up, None),
    ]
}

fn period(begun: &Changed, end: Millis) -> Period {
    Period {
        id: begun.id,
        start: begun.at,
        end: Some(end),
        worst: begun.to,
        reason: begun.reason,
        message: begun.message.clone(),
        trace_id: begun.trace_id.clone(),
    }
}
