//! Reads the history for the pages: all queries at the same time, with a time limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::bars::DAYS;
use crate::history::{
    Availability, Day, History, Incident, IncidentFilter, IncidentPage, ReadError, Step,
};

/// Longest that a page waits for the history; it is then shown without.
const BOUND: Duration = Duration::from_secs(1);

/// Incidents on a page.
const INCIDENTS: usize = 20;

/// Result of one history query.
#[derive(Debug, Clone, Default)]
pub(super) enum HistoryResult<T> {
    /// No history is kept.
    #[default]
    Off,
    /// The store does not answer.
    Silent,
    /// It is known.
    Known(T),
}

impl<T> HistoryResult<T> {
    pub(super) const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Off | Self::Silent => None,
        }
    }

    pub(super) const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    fn of(answer: Result<T, ReadError>) -> Self {
        answer.map_or(Self::Silent, Self::Known)
    }
}

/// The days of every check by its name.
pub(super) type Days = Arc<BTreeMap<String, Vec<Day>>>;

/// What the overview shows of the past.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) days: HistoryResult<Days>,
    pub(super) incidents: HistoryResult<IncidentPage>,
}

impl Past {
    pub(super) async fn read(history: Option<&History>) -> Self {
        let Some(history) = history else { return Self::default() };
        let filter = IncidentFilter { limit: INCIDENTS, ..IncidentFilter::default() };
        let (days, incidents) =
            tokio::join!(bounded(history.days(DAYS)), bounded(history.incidents(&filter)));
        Self { days: HistoryResult::of(days), incidents: HistoryResult::of(incidents) }
    }
}

/// A span of a check's past, as its page offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// As the query names it.
    pub(super) key: &'static str,
    /// For people.
    pub(super) words: &'static str,
    step: Duration,
    steps: u32,
    /// How the moments of its steps are written.
    pub(super) format: &'static str,
}

impl Range {
    /// Every range, shortest first.
    pub(super) const ALL: [Self; 4] = [
        Self::new("1h", "Hour", 1, 60, "%H:%M"),
        Self::new("24h", "24 hours", 15, 96, "%-d %b %H:%M"),
        Self::new("7d", "7 days", 120, 84, "%-d %b %H:%M"),
        Self::new("30d", "30 days", 8 * 60, 90, "%-d %b %H:%M"),
    ];

    const fn new(
        key: &'static str,
        words: &'static str,
        minutes: u64,
        steps: u32,
        format: &'static str,
    ) -> Self {
        Self { key, words, step: Duration::from_secs(minutes * 60), steps, format }
    }

    /// The range that a query names, or else the usual one.
    pub(super) fn named(key: Option<&str>) -> Self {
        let named = Self::ALL.into_iter().find(|range| Some(range.key) == key);
        named.unwrap_or(Self::ALL[1])
    }

    /// Its first moment and the one after its last, both at whole steps since 1970, so that a step
    /// is the same one whenever it is asked for.
    fn until(self, now: SystemTime) -> (SystemTime, SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let step = self.step.as_secs();
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs((since.as_secs() / step + 1) * step);
        (end.checked_sub(self.step * self.steps).unwrap_or(SystemTime::UNIX_EPOCH), end)
    }
}

/// What a check's page shows of the past.
#[derive(Debug, Default)]
pub(super) struct CheckPast {
    pub(super) days: HistoryResult<Days>,
    pub(super) incidents: HistoryResult<IncidentPage>,
    pub(super) steps: HistoryResult<Vec<Step>>,
    pub(super) availability: Option<Availability>,
}

impl CheckPast {
    /// Of `check`, with its steps in `range` and its incidents after a page's end, if given.
    pub(super) async fn read(
        history: Option<&History>,
        check: &str,
        range: Range,
        after: Option<String>,
        now: SystemTime,
    ) -> Self {
        let Some(history) = history else { return Self::default() };
        let check_name = Some(check.to_owned());
        let filter =
            IncidentFilter { check: check_name, after, limit: INCIDENTS, ..Default::default() };
        let (from, to) = range.until(now);
        let (days, mut incidents, steps) = tokio::join!(
            bounded(history.days(DAYS)),
            bounded(history.incidents(&filter)),
            bounded(history.steps(check, from, to, range.step)),
        );
        if incidents == Err(ReadError::BadPosition) {
            let newest = IncidentFilter { after: None, ..filter };
            incidents = bounded(history.incidents(&newest)).await;
        }
        Self {
            days: HistoryResult::of(days),
            incidents: HistoryResult::of(incidents),
            steps: HistoryResult::of(steps),
            availability: Some(history.availability(check)),
        }
    }
}

async fn bounded<T>(answer: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    timeout(BOUND, answer).await.unwrap_or(Err(ReadError::Unavailable))
}

/// An incident's page is what the pages hold; the rest of a [`IncidentPage`] is where it goes on.
pub(super) fn incidents(kept: &HistoryResult<IncidentPage>) -> &[Incident] {
    kept.known().map_or(&[], |page| &page.incidents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_after_now_at_a_whole_step() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_800_931);
        for range in Range::ALL {
            let (from, to) = range.until(now);
            assert!(from < now && now < to && to <= now + range.step, "{range:?}");
            let since = from.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
            assert_eq!(since % range.step.as_secs(), 0);
        }
        assert_eq!(Range::named(Some("7d")).words, "7 days");
        assert_eq!(Range::named(Some("7 d")), Range::named(None));
        assert_eq!(Range::named(None).key, "24h");
    }
}
