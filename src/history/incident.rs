//! Folds status changes into incidents: periods in which a check was not up.

use super::rollup::{Millis, badness};
use crate::model::{Reason, Status};

/// A status change, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) id: u64,
    pub(super) at: Millis,
    pub(super) from: Status,
    pub(super) to: Status,
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
    pub(super) trace_id: Option<String>,
}

/// A period of not being up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Period {
    /// That of the change that began it.
    pub(super) id: u64,
    pub(super) start: Millis,
    pub(super) end: Option<Millis>,
    pub(super) worst: Status,
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
    pub(super) trace_id: Option<String>,
}

impl Period {
    fn begun_by(change: &Changed) -> Self {
        Self {
            id: change.id,
            start: change.at,
            end: None,
            worst: change.to,
            reason: change.reason,
            message: change.message.clone(),
            trace_id: change.trace_id.clone(),
        }
    }

    /// Takes the worst status and its cause from `other`, if that is worse.
    pub(super) fn worsen(&mut self, other: Self) {
        if badness(other.worst) > badness(self.worst) {
            *self = Self { id: self.id, start: self.start, end: self.end, ..other };
        }
    }

    /// This period, ended; the clock may have been set back meanwhile.
    pub(super) fn ended(mut self, at: Millis) -> Self {
        self.end = Some(at.max(self.start));
        self
    }
}

/// Folds `change` into the period that is `open`, and returns what changed, for the store.
pub(super) fn fold(open: &mut Option<Period>, change: &Changed) -> Option<Period> {
    if change.to == Status::Up {
        return open.take().map(|period| period.ended(change.at));
    }
    let Some(period) = open else {
        *open = Some(Period::begun_by(change));
        return open.clone();
    };
    let before = period.worst;
    period.worsen(Period::begun_by(change));
    (period.worst != before).then(|| period.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Degraded, Down, Unknown, Up};
    use proptest::prelude::*;

    fn changed(id: u64, from: Status, to: Status, reason: Option<Reason>) -> Changed {
        let at = i64::try_from(id).expect("a small id");
        let message = reason.map(|r| r.to_string());
        Changed { id, at, from, to, reason, message, trace_id: None }
    }

    fn folded(changes: &[Changed]) -> (Option<Period>, Vec<Period>) {
        let mut open = None;
        let periods = changes.iter().filter_map(|change| fold(&mut open, change)).collect();
        (open, periods)
    }

    #[test]
    fn a_period_lasts_from_leaving_up_until_up_again_and_tells_of_its_worst() {
        let (open, periods) = folded(&[
            changed(1, Unknown, Up, None),
            changed(2, Up, Degraded, None),
            changed(3, Degraded, Down, Some(Reason::Timeout)),
            changed(4, Down, Degraded, Some(Reason::Other)),
            changed(5, Degraded, Down, Some(Reason::TlsFailed)),
            changed(6, Down, Up, None),
        ]);
        assert_eq!(open, None);
        assert_eq!(periods.len(), 3, "begun, worsened, ended: {periods:?}");
        let last = periods.last().expect("its end");
        assert_eq!((last.id, last.start, last.end, last.worst), (2, 2, Some(6), Down));
        assert_eq!(last.reason, Some(Reason::Timeout), "what first made it that bad");
    }

    #[test]
    fn a_first_status_that_is_not_up_begins_one_and_a_first_run_that_is_up_none() {
        let (open, _) = folded(&[changed(1, Unknown, Down, Some(Reason::Timeout))]);
        assert_eq!(open.map(|p| (p.id, p.worst)), Some((1, Down)));
        assert_eq!(folded(&[changed(1, Unknown, Up, None)]), (None, vec![]));
    }

    #[test]
    fn not_knowing_is_no_end() {
        let (open, periods) = folded(&[
            changed(1, Up, Down, Some(Reason::Timeout)),
            changed(2, Down, Unknown, None),
            changed(3, Unknown, Down, Some(Reason::Other)),
        ]);
        assert_eq!(periods.len(), 1);
        assert_eq!(open.map(|p| (p.start, p.reason)), Some((1, Some(Reason::Timeout))));
    }

    #[test]
    fn a_period_does_not_end_before_it_began() {
        let (_, periods) = folded(&[
            Changed { at: 100, ..changed(1, Up, Down, None) },
            Changed { at: 40, ..changed(2, Down, Up, None) },
        ]);
        assert_eq!(periods.last().and_then(|p| p.end), Some(100));
    }

    proptest! {
        #[test]
        fn one_is_open_exactly_while_the_status_is_not_up(to in prop::collection::vec(0usize..4, 1..40)) {
            let mut open = None;
            let mut from = Unknown;
            let mut ended = 0;
            for (i, to) in to.into_iter().map(|i| Status::ALL[i]).enumerate() {
                if to == from {
                    continue;
                }
                let periods = fold(&mut open, &changed(i as u64 + 1, from, to, None));
                ended += usize::from(periods.is_some_and(|p| p.end.is_some()));
                prop_assert_eq!(open.is_some(), to != Up);
                from = to;
            }
            prop_assert!(ended <= 20);
        }
    }
}
