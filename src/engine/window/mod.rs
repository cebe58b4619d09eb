//! Maintenance windows: when they are open, and for which checks.
//!
//! Nothing here reads a clock: for a given moment a window says whether it is open, and when that
//! changes next. Daylight saving follows the time zone database of the system, or a built-in copy
//! if there is none.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Deserialize;

/// Longest time that a recurring window may stay open, because it starts at least every week.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// Upper bound of the search for the next change, in days; a window that closes at all closes
/// earlier.
const HORIZON_DAYS: usize = 800;

/// A time in which checks gate nothing, do not change availability and raise no alert.
///
/// It is open once, or every day or some days of the week at a local time. It starts when clocks
/// there first show that time or a later one. When daylight saving leaves that time out, it starts at
/// the first moment after the gap; when the time comes twice, at the earlier. It stays open for the
/// same elapsed time, whatever clocks do meanwhile. A window that is open over midnight belongs to
/// the day on which it starts.
///
/// ```
/// use std::time::Duration;
/// use vitalsign::{Day, Window};
///
/// let backup = Window::weekly([Day::Sat], "23:00", Duration::from_hours(3), "Europe/Berlin")?
///     .for_checks(["orders-db"]);
/// # let _ = backup;
/// # Ok::<(), vitalsign::WindowError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// `None` for every check.
    checks: Option<BTreeSet<String>>,
    opens: Opens,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Opens {
    Once { from: Timestamp, until: Timestamp },
    Recurring(Recurring),
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// Every day, Monday first.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    const fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// Why a window is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// The start is not a time of day.
    #[error("no time of day; write one such as \"23:00\"")]
    Start,
    /// It would be open for no time at all, or beyond its next start.
    #[error("not the length of a recurring window; write one above zero and at most \"7d\"")]
    Duration,
    /// No time zone has this name.
    #[error("unknown; write an IANA name such as \"Europe/Berlin\"")]
    TimeZone,
    /// It would start on no day.
    #[error("no day is listed; list some, or leave the option out")]
    NoDay,
    /// A moment is not an RFC 3339 time.
    #[error("no RFC 3339 time; write one such as \"2026-01-31T22:00:00Z\"")]
    Moment,
    /// It would end before it starts.
    #[error("not after `from`; write a later time")]
    Order,
}

impl Window {
    /// A window that is open once, from `from` until just before `until`, for every check.
    ///
    /// # Errors
    /// [`WindowError::Order`] unless `until` is later; [`WindowError::Moment`] for a time beyond
    /// the year 9999.
    pub fn once(from: SystemTime, until: SystemTime) -> Result<Self, WindowError> {
        let moment = |at| Timestamp::try_from(at).map_err(|_| WindowError::Moment);
        Self::between(moment(from)?, moment(until)?)
    }

    /// A window that opens every day at `start`, such as `23:00`, as clocks in `timezone` show it,
    /// and closes `duration` later; for every check.
    ///
    /// # Errors
    /// [`WindowError`] for a start, a duration or a time zone that cannot be.
    pub fn daily(start: &str, duration: Duration, timezone: &str) -> Result<Self, WindowError> {
        Self::weekly(Day::ALL, start, duration, timezone)
    }

    /// A window that opens as a [`daily`](Self::daily) one, on these days of the week alone.
    ///
    /// # Errors
    /// As [`daily`](Self::daily), and [`WindowError::NoDay`].
    pub fn weekly(
        days: impl IntoIterator<Item = Day>,
        start: &str,
        duration: Duration,
        timezone: &str,
    ) -> Result<Self, WindowError> {
        Self::recurring(days, time_of_day(start)?, length(duration)?, time_zone(timezone)?)
    }

    /// The same window for the checks of these names only; a name counts once a check has it.
    #[must_use]
    pub fn for_checks<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.checks = Some(names.into_iter().map(Into::into).collect());
        self
    }

    pub(crate) fn between(from: Timestamp, until: Timestamp) -> Result<Self, WindowError> {
        if until <= from {
            return Err(WindowError::Order);
        }
        Ok(Self { checks: None, opens: Opens::Once { from, until } })
    }

    pub(crate) fn recurring(
        days: impl IntoIterator<Item = Day>,
        start: Time,
        length: SignedDuration,
        zone: TimeZone,
    ) -> Result<Self, WindowError> {
        let days: BTreeSet<Day> = days.into_iter().collect();
        if days.is_empty() {
            return Err(WindowError::NoDay);
        }
        let opens = Opens::Recurring(Recurring { days, start, length, zone });
        Ok(Self { checks: None, opens })
    }

    /// The names of its checks, sorted; `None` when it is for every check.
    #[must_use]
    pub fn checks(&self) -> Option<impl Iterator<Item = &str>> {
        self.checks.as_ref().map(|names| names.iter().map(String::as_str))
    }

    /// Whether it is open at that moment.
    #[must_use]
    pub fn is_active(&self, at: SystemTime) -> bool {
        let Ok(at) = Timestamp::try_from(at) else { return false };
        match &self.opens {
            Opens::Once { from, until } => (*from..*until).contains(&at),
            Opens::Recurring(recurring) => recurring.is_open(at),
        }
    }

    /// The first moment after that one at which it opens or closes.
    ///
    /// `None` if it never does again, or not within two years, for example because each opening
    /// begins when the last one ends.
    #[must_use]
    pub fn next_change(&self, after: SystemTime) -> Option<SystemTime> {
        let after = Timestamp::try_from(after).ok()?;
        let change = match &self.opens {
            Opens::Once { from, until } => [*from, *until].into_iter().find(|at| *at > after),
            Opens::Recurring(recurring) => recurring.next_change(after),
        };
        change.map(SystemTime::from)
    }

    /// Whether each opening begins when the last one ends, except on days that daylight saving
    /// makes longer.
    #[cfg(feature = "config")]
    pub(crate) fn is_endless(&self) -> bool {
        match &self.opens {
            Opens::Once { .. } => false,
            Opens::Recurring(recurring) => recurring.is_endless(),
        }
    }
}

/// The time of day that `text` says: hours and minutes, perhaps seconds.
pub(crate) fn time_of_day(text: &str) -> Result<Time, WindowError> {
    // The parser would also take a date before it, and forget an offset behind.
    let plain = |c: char| c.is_ascii_digit() || c == ':' || c == '.';
    let right = text.as_bytes().get(2) == Some(&b':') && text.chars().all(plain);
    right.then(|| text.parse().ok()).flatten().ok_or(WindowError::Start)
}

/// The time zone of this IANA name.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, WindowError> {
    TimeZone::get(name).map_err(|_| WindowError::TimeZone)
}

/// How long a recurring window is open.
pub(crate) fn length(duration: Duration) -> Result<SignedDuration, WindowError> {
    if duration.is_zero() || duration > LONGEST {
        return Err(WindowError::Duration);
    }
    SignedDuration::try_from(duration).map_err(|_| WindowError::Duration)
}

/// The moment that `text` says, as RFC 3339 has it.
#[cfg(feature = "config")]
pub(crate) fn moment(text: &str) -> Result<Timestamp, WindowError> {
    text.parse().map_err(|_| WindowError::Moment)
}

/// A window that opens on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recurring {
    days: BTreeSet<Day>,
    start: Time,
    length: SignedDuration,
    zone: TimeZone,
}

impl Recurring {
    fn is_open(&self, at: Timestamp) -> bool {
        let started = |(start, _): &(Timestamp, Timestamp)| *start <= at;
        self.openings(at).take_while(started).any(|(_, end)| at < end)
    }

    fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let mut open_until: Option<Timestamp> = None;
        for (start, end) in self.openings(after) {
            match open_until {
                Some(until) if start > until => return Some(until),
                Some(until) => open_until = Some(until.max(end)),
                None if start > after => return Some(start),
                None => open_until = (end > after).then_some(end),
            }
        }
        None
    }

    /// From when until when it is open, in order, beginning with the first that may last beyond `at`.
    fn openings(&self, at: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let earliest = at.checked_sub(self.length).unwrap_or(Timestamp::MIN);
        // It has opened by then on every day before, for clocks have shown a later time.
        let first = self.zone.to_datetime(earliest).date();
        first.series(jiff::Span::new().days(1)).take(HORIZON_DAYS).filter_map(|date| {
            let start = self.opening_of(date)?;
            Some((start, start.checked_add(self.length).unwrap_or(Timestamp::MAX)))
        })
    }

    /// When it opens on that day, if it does.
    fn opening_of(&self, date: Date) -> Option<Timestamp> {
        let wanted = self.days.contains(&Day::of(date.weekday()));
        wanted.then(|| first_moment(date.to_datetime(self.start), &self.zone)).flatten()
    }

    #[cfg(feature = "config")]
    fn is_endless(&self) -> bool {
        let days: Vec<i64> = self.days.iter().map(|day| *day as i64).collect();
        let next_week = days.iter().map(|day| day + 7);
        let nexts = days.iter().copied().skip(1).chain(next_week);
        let longest = days.iter().zip(nexts).map(|(day, next)| next - day).max();
        longest.is_some_and(|days| SignedDuration::from_hours(24 * days) <= self.length)
    }
}

/// The first moment at which clocks in `zone` show `local` or a later time; none beyond the
/// calendar.
fn first_moment(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // The later offset makes it a moment before the gap, which ends at the next change.
            let before_gap = after.to_timestamp(local).ok()?;
            zone.following(before_gap).next().map(|transition| transition.timestamp())
        }
    }
}
