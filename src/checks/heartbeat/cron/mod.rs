//! Schedules as cron writes them.
//!
//! # Form
//!
//! Five fields: minute, hour, day of the month, month, day of the week. A field is `*`, a number, a
//! name (`jan`, `sun`), a range (`mon-fri`), a list (`0,30`), or any of them with a step (`*/15`,
//! `8-18/2`). Sunday is 0 and 7. Where both the day of the month and the day of the week are
//! restricted, either is enough, as in every cron; a field that begins with `*` restricts nothing.
//! `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` stand for their
//! usual five fields.
//!
//! # Daylight saving
//!
//! A time that clocks leave out has no run: cron programs differ in what they do then, and a run that
//! did not come must be no failure. A time that comes twice has its run at the first.

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::time::SystemTime;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::engine::check::Schedule;

/// Years that are searched for a run. The rarest schedule, of a leap day on a day of the week, comes
/// every 28 years, or 40 around a century without its leap year.
const YEARS: i16 = 41;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What stands for five fields.
const NAMED: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Set(u64);

impl Set {
    fn add(&mut self, number: u8) {
        self.0 |= 1 << number;
    }

    fn has(self, number: i8) -> bool {
        u8::try_from(number).is_ok_and(|number| number < 64 && self.0 >> number & 1 == 1)
    }

    fn iter(self) -> impl Iterator<Item = i8> {
        (0..64).filter(move |number| self.has(*number))
    }
}

/// The times of a schedule, on clocks of no place in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Whether one of the two kinds of days is enough.
    either_day: bool,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    range: RangeInclusive<u8>,
    names: &'static [&'static str],
    /// The number of the first name.
    first: u8,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", range: 0..=59, names: &[], first: 0 },
    Field { name: "hour", range: 0..=23, names: &[], first: 0 },
    Field { name: "day of the month", range: 1..=31, names: &[], first: 0 },
    Field { name: "month", range: 1..=12, names: &MONTHS, first: 1 },
    Field { name: "day of the week", range: 0..=7, names: &WEEKDAYS, first: 0 },
];

impl Field {
    fn parse(&self, text: &str) -> Result<Set, String> {
        let mut set = Set::default();
        for item in text.split(',') {
            let wrong = || {
                let (first, last) = (self.range.start(), self.range.end());
                let name = self.name;
                format!("`{item}` is no {name}; write a number from {first} to {last}, or `*`")
            };
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(number(step).ok_or_else(wrong)?)),
                None => (item, None),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (*self.range.start(), *self.range.end()),
                Some((first, last)) => {
                    (self.value(first).ok_or_else(wrong)?, self.last(last).ok_or_else(wrong)?)
                }
                None => {
                    let first = self.value(range).ok_or_else(wrong)?;
                    // `5/15` goes on from 5.
                    (first, if step.is_some() { *self.range.end() } else { first })
                }
            };
            if first > last || step == Some(0) {
                return Err(wrong());
            }
            let step = usize::from(step.unwrap_or(1));
            (first..=last).step_by(step).for_each(|number| set.add(number));
        }
        Ok(set)
    }

    fn value(&self, text: &str) -> Option<u8> {
        let name = text.to_ascii_lowercase();
        let named = (self.first..).zip(self.names).find(|(_, known)| **known == name);
        let value = named.map(|(value, _)| value).or_else(|| number(text))?;
        self.range.contains(&value).then_some(value)
    }

    /// The end of a range, where Sunday may also be the last day of the week.
    fn last(&self, text: &str) -> Option<u8> {
        let value = self.value(text)?;
        let sunday = *self.range.end() == 7 && value == 0;
        Some(if sunday { 7 } else { value })
    }
}

/// Digits alone.
fn number(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl Cron {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let fields = match NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => {
                let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
                return Err(format!("`{text}` is no schedule; there are {}", names.join(", ")));
            }
            None => text,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let count = fields.len();
            return Err(format!(
                "a schedule has five fields, not {count}: minute, hour, day of the month, month, \
                 day of the week, such as \"0 3 * * 1-5\"; or it is a name such as @daily"
            ));
        };
        let of = |field: usize, text: &str| match FIELDS.get(field) {
            Some(field) => field.parse(text),
            None => Ok(Set::default()),
        };
        let mut weekdays = of(4, weekday)?;
        if weekdays.has(7) {
            weekdays.add(0);
        }
        let cron = Self {
            minutes: of(0, minute)?,
            hours: of(1, hour)?,
            days: of(2, day)?,
            months: of(3, month)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.next_day(Date::constant(2001, 1, 1)) {
            Some(_) => Ok(cron),
            None => Err("such a day never comes; write one that there is".to_owned()),
        }
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let days = if self.either_day { day || weekday } else { day && weekday };
        days && self.months.has(date.month())
    }

    /// The first day with runs that is not before `date`.
    fn next_day(&self, date: Date) -> Option<Date> {
        let end = date.year().checked_add(YEARS)?;
        let mut date = date;
        while date.year() < end {
            if self.is_day(date) {
                return Some(date);
            }
            date = if self.months.has(date.month()) {
                date.tomorrow().ok()?
            } else {
                date.first_of_month().checked_add(1.month()).ok()?
            };
        }
        None
    }

    /// The times of a day.
    fn times(&self, date: Date) -> impl Iterator<Item = DateTime> {
        let (hours, minutes) = (self.hours, self.minutes);
        let times = move |hour| minutes.iter().map(move |minute| date.at(hour, minute, 0, 0));
        hours.iter().flat_map(times)
    }

    /// The first run after `after`, where clocks are those of `zone`.
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.to_datetime(after);
        let mut date = self.next_day(local.date())?;
        loop {
            for time in self.times(date).filter(|time| *time > local) {
                let ambiguous = zone.to_ambiguous_timestamp(time);
                if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
                    continue;
                }
                if let Some(at) = ambiguous.earlier().ok().filter(|at| *at > after) {
                    return Some(at);
                }
            }
            date = self.next_day(date.tomorrow().ok()?)?;
        }
    }
}

/// A schedule where clocks are those of a place.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) cron: Cron,
    pub(super) zone: TimeZone,
}

impl Schedule for Local {
    fn next(&self, after: SystemTime) -> Option<SystemTime> {
        let next = self.cron.next(Timestamp::try_from(after).ok()?, &self.zone)?;
        Some(next.into())
    }

    fn shown(&self, at: SystemTime) -> String {
        let shown = Timestamp::try_from(at)
            .map(|at| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string());
        shown.unwrap_or_default()
    }
}
