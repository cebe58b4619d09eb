//! The last hour of every check, a minute at a time, in memory: for the page's small curves.
//!
//! Input: finished runs, through a [`Sink`]. Output: for each minute the mean duration of its good
//! runs and whether a run failed. A check takes about 200 bytes, however often it runs, so ten
//! thousand of them stay small. At start the hour before is taken from the history, where there is
//! one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::history::History;
use crate::model::{CheckInfo, Event, Outcome, Sink};

/// Minutes that are remembered.
pub(crate) const MINUTES: usize = 60;

const MINUTE: Duration = Duration::from_mins(1);

/// Checks whose last hour is asked for at start: as many as a page shows.
const RECALLED: usize = 1_000;

/// What is remembered of one minute of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Minute {
    /// Mean duration of its good runs; `None` without any.
    pub(crate) mean: Option<Duration>,
    /// Whether a run failed in it.
    pub(crate) failed: bool,
}

/// The last hour of every check.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    checks: Mutex<HashMap<Arc<str>, Hour>>,
}

impl Recent {
    /// The last minutes of `check`, oldest first, that of `now` last.
    pub(crate) fn hour(&self, check: &str, now: SystemTime) -> [Minute; MINUTES] {
        let mut minutes = [Minute::default(); MINUTES];
        // Copied, so that the lock is not held while it is decoded.
        let Some(hour) = self.lock().get(check).cloned() else { return minutes };
        let age = minute(now).saturating_sub(hour.newest);
        for (place, value) in minutes.iter_mut().enumerate() {
            let back = (MINUTES - 1 - place) as u64;
            *value = back.checked_sub(age).map_or_else(Minute::default, |back| hour.minute(back));
        }
        minutes
    }

    /// Asks `history` for the hour before this process began.
    pub(crate) async fn recall(self: Arc<Self>, history: History, names: Vec<Arc<str>>) {
        let now = SystemTime::now();
        let first = minute(now).saturating_sub(MINUTES as u64);
        let from = UNIX_EPOCH + Duration::from_secs(first * 60);
        for name in names.iter().take(RECALLED) {
            // A store that does not answer now has no hour that is worth waiting for.
            let Ok(steps) = history.steps(name, from, now, MINUTE).await else { return };
            let known = steps.iter().filter(|step| step.runs > 0).map(|step| {
                // The median stands in for the mean.
                let mean = step.p50.filter(|_| step.good > 0);
                (step.at, Minute { mean, failed: step.share.good < step.share.counted })
            });
            self.fill(name, now, known);
        }
    }

    /// Takes from elsewhere what is known of earlier minutes of `check`; what was recorded here
    /// since is left as it is.
    fn fill(
        &self,
        check: &Arc<str>,
        now: SystemTime,
        earlier: impl IntoIterator<Item = (SystemTime, Minute)>,
    ) {
        let mut checks = self.lock();
        let fresh = || Hour::new(minute(now));
        let hour = checks.entry(Arc::clone(check)).or_insert_with(fresh);
        for (at, known) in earlier {
            hour.fill(minute(at), known);
        }
    }

    /// Adds so many runs of about the same length that ended at `at`.
    fn add(
        &self,
        info: &CheckInfo,
        at: SystemTime,
        runs: impl IntoIterator<Item = (Outcome, Duration, u32)>,
    ) {
        let mut counted = runs.into_iter().filter(|(outcome, ..)| *outcome != Outcome::Unknown);
        let Some(first) = counted.next() else { return };
        let at = minute(at);
        let mut checks = self.lock();
        let hour = match checks.get_mut(&info.name) {
            Some(hour) => hour,
            None => checks.entry(Arc::clone(&info.name)).or_insert(Hour::new(at)),
        };
        for (outcome, duration, times) in std::iter::once(first).chain(counted) {
            hour.add(at, outcome.is_good(), duration, times);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Hour>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recent {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        match event {
            Event::Run { run, .. } => {
                self.add(info, run.at + run.duration, [(run.outcome, run.duration, 1)]);
            }
            Event::Observed(calls) => self.add(info, SystemTime::now(), calls.durations()),
            Event::Removed => drop(self.lock().remove(&info.name)),
            Event::Transition(_) | Event::Skipped(_) | Event::Maintenance(_) => {}
        }
    }
}

fn minute(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60)
}

/// The minutes of one check.
#[derive(Debug, Clone)]
struct Hour {
    /// The minute that is being added to, counted from 1970.
    newest: u64,
    good: u32,
    failed: bool,
    seconds: f32,
    /// Finished minutes, each at its number modulo their count.
    finished: [Packed; MINUTES],
}

impl Hour {
    const fn new(newest: u64) -> Self {
        let finished = [Packed::NOTHING; MINUTES];
        Self { newest, good: 0, failed: false, seconds: 0.0, finished }
    }

    fn add(&mut self, at: u64, good: bool, duration: Duration, times: u32) {
        // A clock that was set back: what is new counts as now.
        if at > self.newest {
            self.advance(at);
        }
        if good {
            self.good = self.good.saturating_add(times);
            self.seconds += duration.as_secs_f32() * times as f32;
        } else {
            self.failed = true;
        }
    }

    fn advance(&mut self, to: u64) {
        self.finished[place(self.newest)] = self.current();
        for skipped in (self.newest + 1..to).take(MINUTES) {
            self.finished[place(skipped)] = Packed::NOTHING;
        }
        let finished = self.finished;
        *self = Self { finished, ..Self::new(to) };
    }

    /// Records what is known of the minute `at`, if nothing is yet.
    fn fill(&mut self, at: u64, known: Minute) {
        if at == self.newest && self.good == 0 && !self.failed {
            self.failed = known.failed;
            // As if it were one run, which those to come are added to.
            (self.good, self.seconds) = known.mean.map_or((0, 0.0), |mean| (1, mean.as_secs_f32()));
        }
        let earlier = at < self.newest && self.newest - at < MINUTES as u64;
        let finished = &mut self.finished[place(at)];
        if earlier && *finished == Packed::NOTHING {
            *finished = Packed::new(known.mean.map(|mean| mean.as_secs_f32()), known.failed);
        }
    }

    fn current(&self) -> Packed {
        let mean = (self.good > 0).then(|| self.seconds / self.good as f32);
        Packed::new(mean, self.failed)
    }

    /// What is known of the minute `back` minutes before the newest.
    fn minute(&self, back: u64) -> Minute {
        match self.newest.checked_sub(back) {
            Some(at) if back > 0 => self.finished[place(at)].unpack(),
            Some(_) => self.current().unpack(),
            None => Minute::default(),
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it is less than the count of minutes")]
const fn place(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

/// A minute in 16 bits: seconds as the upper half of an `f32`, 0 for none, which is within 0.4 %;
/// the sign says that a run failed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Packed(u16);

impl Packed {
    const NOTHING: Self = Self(0);
    const FAILED: u16 = 1 << 15;

    fn new(mean: Option<f32>, failed: bool) -> Self {
        // Rounded up to the smallest that is not 0, which stands for none.
        let upper = mean.map_or(0, |seconds| (seconds.abs().to_bits() >> 16).max(1));
        let upper = u16::try_from(upper).unwrap_or(u16::MAX) & !Self::FAILED;
        Self(upper | if failed { Self::FAILED } else { 0 })
    }

    fn unpack(self) -> Minute {
        let upper = self.0 & !Self::FAILED;
        let seconds = f32::from_bits(u32::from(upper) << 16);
        let mean = (upper > 0).then(|| Duration::try_from_secs_f32(seconds).unwrap_or_default());
        Minute { mean, failed: self.0 & Self::FAILED != 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Gates, Run, Status};

    fn info() -> Arc<CheckInfo> {
        Arc::new(CheckInfo {
            name: "db".into(),
            kind: "tcp",
            description: None,
            gates: Gates::READY,
            depends_on: Vec::new(),
            groups: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failure_threshold: 3,
            success_threshold: 1,
            degraded_after: None,
            objective: None,
            propagate: true,
            server: None,
        })
    }

    fn at(minute: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(minute * 60 + 5)
    }

    fn run(recent: &Recent, minute: u64, outcome: Outcome, millis: u64) {
        let run = Run {
            at: at(minute),
            duration: Duration::from_millis(millis),
            outcome,
            reason: None,
            message: None,
            trace: None,
            phases: Vec::new(),
            measurements: Vec::new(),
        };
        let (trace_kept, maintenance) = (false, false);
        let event = Event::Run { run: &run, status: Status::Up, trace_kept, maintenance };
        recent.record(&info(), event);
    }

    fn millis(minute: Minute) -> Option<u128> {
        minute.mean.map(|mean| (mean.as_micros() + 500) / 1000)
    }

    #[test]
    fn a_minute_has_the_mean_of_its_good_runs_and_says_when_one_failed() {
        let recent = Recent::default();
        run(&recent, 1000, Outcome::Success, 10);
        run(&recent, 1000, Outcome::Warning, 30);
        run(&recent, 1000, Outcome::Timeout, 2000);
        run(&recent, 1000, Outcome::Unknown, 7000);
        run(&recent, 1002, Outcome::Failure, 1);
        let hour = recent.hour("db", at(1003));
        assert_eq!((millis(hour[56]), hour[56].failed), (Some(20), true));
        assert_eq!(hour[57], Minute::default(), "nothing ran");
        assert_eq!(hour[58], Minute { mean: None, failed: true });
        assert_eq!(hour[59], Minute::default(), "nothing has run yet");
        assert_eq!(recent.hour("other", at(1003)), [Minute::default(); MINUTES]);
    }

    #[test]
    fn calls_that_were_observed_count_as_so_many_runs() {
        let recent = Recent::default();
        let mut calls = crate::model::Calls::default();
        let now = tokio::time::Instant::now();
        for millis in [10, 10, 10, 30] {
            calls.add(Outcome::Success, None, Duration::from_millis(millis), now);
        }
        calls.add(Outcome::Unknown, None, Duration::from_secs(9), now);
        recent.record(&info(), Event::Observed(&calls));
        let last = |recent: &Recent| recent.hour("db", SystemTime::now()).into_iter().rev();
        let minute = last(&recent).find(|minute| minute.mean.is_some()).expect("it is known");
        assert_eq!((millis(minute), minute.failed), (Some(15), false));
        calls.add(Outcome::Timeout, None, Duration::from_secs(2), now);
        recent.record(&info(), Event::Observed(&calls));
        assert!(last(&recent).any(|minute| minute.failed));
    }

    #[test]
    fn what_is_older_than_an_hour_is_forgotten() {
        let recent = Recent::default();
        run(&recent, 1000, Outcome::Success, 10);
        assert_eq!(millis(recent.hour("db", at(1059))[0]), Some(10));
        assert_eq!(recent.hour("db", at(1060)), [Minute::default(); MINUTES]);
        run(&recent, 1_000_000, Outcome::Success, 20);
        let hour = recent.hour("db", at(1_000_000));
        assert_eq!(hour.iter().filter_map(|m| millis(*m)).collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let recent = Recent::default();
        run(&recent, 1000, Outcome::Success, 10);
        run(&recent, 900, Outcome::Success, 20);
        assert_eq!(millis(recent.hour("db", at(1000))[59]), Some(15));
        assert_eq!(millis(recent.hour("db", at(900))[59]), Some(15), "read before it was written");
    }

    #[test]
    fn an_earlier_hour_is_filled_in_around_what_was_recorded_here() {
        let recent = Recent::default();
        run(&recent, 1000, Outcome::Success, 10);
        run(&recent, 1001, Outcome::Success, 20);
        let known = |millis| Minute { mean: Some(Duration::from_millis(millis)), failed: false };
        let stored = [(900, 1), (941, 2), (942, 3), (999, 4), (1000, 5), (1001, 6), (1002, 7)];
        recent.fill(&"db".into(), at(1001), stored.map(|(minute, m)| (at(minute), known(m))));
        let hour = recent.hour("db", at(1001));
        let shown: Vec<_> = hour.iter().filter_map(|minute| millis(*minute)).collect();
        assert_eq!(shown, [3, 4, 10, 20]);
        let other = [(at(1000), known(5)), (at(1001), known(6))];
        recent.fill(&"other".into(), at(1001), other);
        let hour = recent.hour("other", at(1001));
        assert_eq!([millis(hour[58]), millis(hour[59])], [Some(5), Some(6)]);
    }

    #[test]
    fn a_removed_check_leaves_nothing() {
        let recent = Recent::default();
        run(&recent, 1000, Outcome::Success, 10);
        recent.record(&info(), Event::Removed);
        assert!(recent.lock().is_empty());
    }

    proptest! {
        #[test]
        fn minutes_are_as_they_were_recorded(
            runs in prop::collection::vec((0u64..150, prop::option::of(1u64..100_000)), 0..200),
        ) {
            let recent = Recent::default();
            let mut runs = runs;
            runs.sort_by_key(|(minute, _)| *minute);
            for (minute, good) in &runs {
                let outcome = if good.is_some() { Outcome::Success } else { Outcome::Failure };
                run(&recent, *minute, outcome, good.unwrap_or(5));
            }
            // What ends in the next minute counts there.
            let ended = |(minute, good): &(u64, Option<u64>)| {
                (minute * 60_000 + 5_000 + good.unwrap_or(5)) / 60_000
            };
            let last = runs.iter().map(ended).max().unwrap_or(0);
            let mut folded = Vec::new();
            let mut newest = 0;
            for one in &runs {
                newest = newest.max(ended(one));
                folded.push((newest, one.1));
            }
            for (place, minute) in recent.hour("db", at(last)).into_iter().enumerate() {
                let Some(number) = last.checked_sub((MINUTES - 1 - place) as u64) else { continue };
                let of = |f: &&(u64, Option<u64>)| f.0 == number;
                let good: Vec<u64> = folded.iter().filter(of).filter_map(|f| f.1).collect();
                prop_assert_eq!(minute.failed, folded.iter().filter(of).any(|f| f.1.is_none()));
                prop_assert_eq!(minute.mean.is_some(), !good.is_empty());
                if let Some(mean) = minute.mean {
                    let wanted = good.iter().sum::<u64>() as f64 / good.len() as f64 / 1000.0;
                    prop_assert!((mean.as_secs_f64() / wanted - 1.0).abs() < 0.01);
                }
            }
        }
    }
}
