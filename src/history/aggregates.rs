//! The aggregates in memory: the roll-ups, availability and incidents of each check, folded from
//! the records in the queue.
//!
//! A run counts in the minute in which it ended, and with it in the hour and the day. When a
//! minute, hour or day is over, its roll-ups wait for the store in [`Pending`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::availability::Rings;
use super::heartbeat_states::Heartbeats;
use super::incident::{self, Changed, Period};
use super::pending::{Pending, StatusSince};
use super::reasons::Reasons;
use super::record::Record;
use super::rollup::{Counts, HistoryRun, Millis, Rollup, Width, worse};
use super::{Availability, raw};
use crate::model::{Reason, ServiceStatus, Status, Transition};

/// If the clock is set back by more than this, the new time is used; otherwise the aggregates wait
/// until it catches up.
const BELIEVED: Millis = 3_600_000;

/// The aggregates of one check.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    /// Of the minute that has not ended, as are the next two.
    pub(super) minute: Rollup,
    pub(super) hour: Rollup,
    pub(super) day: Counts,
    pub(super) rings: Rings,
    /// Failed runs of the current minute whose reasons the store has acknowledged.
    pub(super) reasons_written: u64,
    /// Runs that the store has not acknowledged.
    pub(super) raw: Vec<u8>,
    /// Status, and since when; over a restart it is that of before until the first run decides.
    pub(super) held: StatusSince,
    /// The status in this process; none before the first.
    status: Option<Status>,
    /// The first one in this process, and since when.
    first: StatusSince,
    pub(super) open: Option<Period>,
    /// Whether the past from the store is included.
    pub(super) past_known: bool,
    /// Whether its check is no longer part of the plan.
    pub(super) removed: bool,
}

/// The aggregates of all checks.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    pub(super) of: HashMap<Arc<str>, Aggregate>,
    /// Start of the minute that has not ended; 0 before the first.
    pub(super) minute: Millis,
    pub(super) pending: Pending,
    /// Ids that the store gave to these checks.
    pub(super) ids: Arc<HashMap<Arc<str>, i64>>,
    /// The service's status before this process, as the store remembers it.
    pub(super) service: Option<(ServiceStatus, Millis)>,
    /// What heartbeat checks have heard.
    pub(super) heartbeats: Heartbeats,
    /// The checks of the first plan, once that is known.
    planned: Option<HashSet<Arc<str>>>,
}

impl Aggregate {
    /// What is known of the periods that have not ended.
    pub(super) fn unfinished(&self) -> [(Width, Rollup); 3] {
        [
            (Width::Minute, self.minute.clone()),
            (Width::Hour, self.hour.clone()),
            (Width::Day, self.day.into()),
        ]
    }

    fn note_reasons(&mut self, reasons: &Reasons) {
        self.minute.reasons.merge(reasons);
        self.hour.reasons.merge(reasons);
    }

    fn note(&mut self, counts: &Counts) {
        self.minute.counts.merge(counts);
        self.hour.counts.merge(counts);
        self.day.merge(counts);
    }

    fn note_status(&mut self, status: Option<Status>) {
        if status.is_some() {
            self.note(&Counts { worst: status, ..Counts::default() });
        }
    }

    /// Counts a run in the current periods.
    pub(super) fn count(&mut self, ran: &HistoryRun) {
        let counts = Counts::of(ran);
        self.note(&counts);
        self.minute.sketch.record(ran.micros, ran.times);
        self.hour.sketch.record(ran.micros, ran.times);
        self.rings.add(ran.at, &counts);
    }

    fn change(&mut self, change: &Changed) -> Option<StatusSince> {
        self.note_status(worse(self.status, Some(change.to)));
        let first = self.first.is_none();
        self.first.get_or_insert((change.to, change.at));
        self.status = Some(change.to);
        let goes_on = first && self.held.is_some_and(|(status, _)| status == change.to);
        if goes_on {
            return None;
        }
        self.held = Some((change.to, change.at));
        Some(self.held)
    }
}

impl Aggregates {
    /// Folds the records of the queue; periods that are over at `now` end.
    pub(super) fn fold(&mut self, records: Vec<Record>, now: Millis) {
        for record in records {
            match record {
                Record::Run { info, ran, reason } => self.run(&info.name, ran, reason),
                Record::Observed { info, ran, longest, reasons } => {
                    self.calls(&info.name, ran, longest, &reasons);
                }
                Record::Change { check, transition } => self.transition(&check, *transition),
                Record::Removed { check, at } => self.remove(&check, at),
                Record::Service { status, since } => {
                    // These statuses mean that the service starts or stops; they are not recorded.
                    if !matches!(status, ServiceStatus::Starting | ServiceStatus::Draining) {
                        self.pending.service = Some((status, since));
                    }
                }
                Record::Heartbeat { check, state } => {
                    self.heartbeats.hear(&check, &state);
                    self.pending.heartbeats.insert(check, state);
                }
            }
        }
        self.advance(now);
        let old = self.pending.raw > 0 && now - self.pending.raw_key > 2 * Width::Hour.millis();
        if self.pending.bound() || old {
            self.forget_raw();
        }
    }

    fn run(&mut self, check: &Arc<str>, mut ran: HistoryRun, reason: Option<Reason>) {
        self.advance(ran.at);
        // The run belongs to a minute that is over, or the clock was set back: it counts now.
        ran.at = ran.at.max(self.minute);
        let aggregate = entry(&mut self.of, check);
        // The status before the change also held in this minute.
        let before = aggregate.status;
        aggregate.note_status(before);
        aggregate.count(&ran);
        if let Some(reason) = reason {
            aggregate.minute.reasons.add(reason, ran.times);
            aggregate.hour.reasons.add(reason, ran.times);
        }
        self.keep_raw(check, &ran);
        self.pending.records += 1;
    }

    /// Counts calls that ended at about the same time, by rising duration.
    fn calls(&mut self, check: &Arc<str>, mut calls: Vec<HistoryRun>, longest: u64, why: &Reasons) {
        let Some(at) = calls.first().map(|call| call.at) else { return };
        self.advance(at);
        let at = at.max(self.minute);
        let aggregate = entry(&mut self.of, check);
        let before = aggregate.status;
        aggregate.note_status(before);
        for call in &mut calls {
            call.at = at;
            aggregate.count(call);
        }
        aggregate.note(&Counts { max_micros: longest, ..Counts::default() });
        aggregate.note_reasons(why);
        for call in raw::coarse(calls) {
            self.keep_raw(check, &call);
        }
        self.pending.records += 1;
    }

    /// Keeps it as a single run, for as long as single runs are kept.
    fn keep_raw(&mut self, check: &Arc<str>, ran: &HistoryRun) {
        if self.pending.raw == 0 {
            self.pending.raw_key = ran.at.max(self.pending.raw_key + 1);
        }
        let aggregate = entry(&mut self.of, check);
        let length = aggregate.raw.len();
        raw::append(&mut aggregate.raw, ran);
        self.pending.raw += aggregate.raw.len() - length;
    }

    fn transition(&mut self, check: &Arc<str>, transition: Transition) {
        let at = super::rollup::millis(transition.at);
        self.advance(at);
        let aggregate = entry(&mut self.of, check);
        let change = Changed {
            id: transition.id,
            at,
            from: transition.from,
            to: transition.to,
            reason: transition.reason,
            message: transition.message,
            trace_id: transition.trace.map(|t| t.trace_id_hex()),
        };
        if let Some(held) = aggregate.change(&change) {
            self.pending.statuses.insert(Arc::clone(check), held);
        }
        if let Some(period) = incident::fold(&mut aggregate.open, &change) {
            self.pending.incident(check, period);
        }
        self.pending.change(check, change);
        self.pending.records += 1;
    }

    /// Ends the open incident of a check that was removed.
    pub(super) fn remove(&mut self, check: &Arc<str>, at: Millis) {
        self.heartbeats.remove(check);
        let Some(aggregate) = self.of.get_mut(check) else { return };
        if let Some(period) = aggregate.open.take() {
            self.pending.incident(check, period.ended(at));
        }
        if aggregate.held.take().is_some() {
            self.pending.statuses.insert(Arc::clone(check), None);
        }
        aggregate.status = None;
        aggregate.first = None;
        aggregate.removed = true;
    }

    /// Makes the minute of `at` the current one, unless it is over already.
    pub(super) fn advance(&mut self, at: Millis) {
        let minute = Width::Minute.floor(at);
        if self.minute == 0 {
            self.minute = minute;
        }
        let set_back = self.minute.saturating_sub(minute) > BELIEVED;
        if minute <= self.minute && !set_back {
            return;
        }
        let over = |width: Width, old: Millis| {
            (width.floor(old) != width.floor(minute)).then_some((width, width.floor(old)))
        };
        let [hour, day] = [Width::Hour, Width::Day].map(|width| over(width, self.minute));
        let pending = &mut self.pending;
        self.of.retain(|check, aggregate| {
            let ended = std::mem::take(&mut aggregate.minute);
            aggregate.reasons_written = 0;
            if !ended.counts.is_empty() {
                pending.add((Width::Minute, self.minute), check, &ended);
            }
            if let Some(slot) = hour {
                let ended = std::mem::take(&mut aggregate.hour);
                if !ended.counts.is_empty() {
                    pending.add(slot, check, &ended);
                }
            }
            let Some(slot) = day else { return true };
            let ended = std::mem::take(&mut aggregate.day);
            if !ended.is_empty() {
                pending.add(slot, check, &ended.into());
            }
            // The data of a removed check stays until the end of its day.
            !aggregate.removed || !aggregate.raw.is_empty()
        });
        self.minute = minute;
    }

    /// Adds the stored data of a period to that in memory.
    pub(super) fn add(&mut self, width: Width, start: Millis, check: &Arc<str>, rollup: &Rollup) {
        if start != width.floor(self.minute) {
            self.pending.add((width, start), check, rollup);
            return;
        }
        let aggregate = self.aggregate(check);
        match width {
            Width::Minute => aggregate.minute.merge(rollup),
            Width::Hour => aggregate.hour.merge(rollup),
            Width::Day => aggregate.day.merge(&rollup.counts),
        }
    }

    /// Takes over the status that a check had before this process, unless it has one already.
    pub(super) fn recall(&mut self, check: &Arc<str>, held: StatusSince) {
        let aggregate = self.aggregate(check);
        if aggregate.status.is_none() {
            aggregate.held = held;
        }
    }

    /// Takes over an incident that was open before this process.
    pub(super) fn reopen(&mut self, check: &Arc<str>, mut period: Period) {
        let aggregate = self.of.entry(Arc::clone(check)).or_default();
        let Some((first, at)) = aggregate.first else {
            aggregate.open = Some(period);
            return;
        };
        // The store answered late: the incident ended with the first run, or it is the incident
        // that began with it.
        if first == Status::Up {
            self.pending.incident(check, period.ended(at));
            return;
        }
        let of_check = (Arc::clone(check), 0)..=(Arc::clone(check), u64::MAX);
        let begun = self.pending.incidents.range(of_check).next().map(|(_, begun)| begun.clone());
        let begun = begun.or_else(|| aggregate.open.clone());
        if let Some(begun) = begun {
            self.pending.incidents.remove(&(Arc::clone(check), begun.id));
            let goes_on = aggregate.open.as_ref().is_some_and(|open| open.id == begun.id);
            period.end = begun.end;
            period.worsen(begun);
            if goes_on {
                aggregate.open = Some(period.clone());
            }
        }
        self.pending.incident(check, period);
    }

    /// Sets the checks of the first plan.
    pub(super) fn plan(&mut self, checks: HashSet<Arc<str>>, now: Millis) {
        self.planned = Some(checks);
        self.end_unplanned(now);
    }

    /// Ends open incidents of checks that this process does not have.
    pub(super) fn end_unplanned(&mut self, now: Millis) {
        let Some(planned) = &self.planned else { return };
        let idle = |(check, aggregate): (&Arc<str>, &Aggregate)| {
            (aggregate.status.is_none() && !planned.contains(check)).then(|| Arc::clone(check))
        };
        let gone: Vec<Arc<str>> = self.of.iter().filter_map(idle).collect();
        for check in gone {
            self.remove(&check, now);
        }
    }

    /// Queues all data for the store again, because a new store has nothing.
    pub(super) fn renew(&mut self) {
        for (check, aggregate) in &self.of {
            if let Some(period) = &aggregate.open {
                self.pending.incident(check, period.clone());
            }
            if aggregate.held.is_some() {
                self.pending.statuses.insert(Arc::clone(check), aggregate.held);
            }
        }
        if self.pending.service.is_none() {
            self.pending.service = self.service;
        }
    }

    /// Forgets what the store acknowledged of single runs: `written` bytes of each check.
    pub(super) fn acknowledge_raw(
        &mut self,
        key: Millis,
        written: &[(Arc<str>, usize)],
        now: Millis,
    ) {
        if key != self.pending.raw_key {
            // They have been forgotten meanwhile.
            return;
        }
        for (check, length) in written {
            let Some(aggregate) = self.of.get_mut(check) else { continue };
            let length = (*length).min(aggregate.raw.len());
            aggregate.raw.drain(..length);
            self.pending.raw -= length;
        }
        self.pending.raw_key = now.max(key + 1);
    }

    /// The aggregate of a check, begun if there is none.
    pub(super) fn aggregate(&mut self, check: &Arc<str>) -> &mut Aggregate {
        self.of.entry(Arc::clone(check)).or_default()
    }

    /// Forgets single runs that the store has not taken; the roll-ups hold them too.
    fn forget_raw(&mut self) {
        for aggregate in self.of.values_mut() {
            aggregate.raw = Vec::new();
        }
        self.pending.raw = 0;
        self.pending.raw_key += 1;
    }

    pub(super) fn availability(&self, check: &str, now: Millis) -> Availability {
        self.of.get(check).map_or_else(Availability::default, |b| b.rings.availability(now))
    }
}

/// The aggregate of a check that is part of the plan.
fn entry<'a>(
    aggregates: &'a mut HashMap<Arc<str>, Aggregate>,
    check: &Arc<str>,
) -> &'a mut Aggregate {
    let aggregate = aggregates.entry(Arc::clone(check)).or_default();
    aggregate.removed = false;
    aggregate
}
