//! Days as bars: one path for each status, however many days there are.
//!
//! A run of equal days is one line, which the style sheet dashes into a bar for each day. So a
//! check that was up for 90 days takes twenty characters, and a page of a thousand stays small.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use super::text::{capital, hundredths, percent, total, written};
use crate::history::{Day, Share};
use crate::model::Status;

/// Days that are shown.
pub(super) const DAYS: usize = 90;

/// Width of a day with the gap after it, in the units of the picture.
const PITCH: usize = 4;

/// A bar for each day, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bars {
    /// Class and data of each path.
    pub(super) paths: Vec<(&'static str, String)>,
    /// What the script reads: `u*58,d120,n*31`, a letter for the status and the hundredths of a
    /// percent that are missing to 100.
    pub(super) data: String,
    /// The day of the first bar, for the script: `2026-08-25`.
    pub(super) first: String,
    /// Share of good runs of all days.
    pub(super) share: Option<String>,
    /// The same in words, with the worst day.
    pub(super) words: String,
}

/// How a day looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DayStatus {
    Nothing,
    Of(Status),
}

impl DayStatus {
    const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Of(Status::Unknown),
        Self::Of(Status::Up),
        Self::Of(Status::Degraded),
        Self::Of(Status::Down),
    ];

    fn of(day: &Day) -> Self {
        match day.worst {
            None => Self::Nothing,
            // Whatever ran that day says more than that it was not known for a while.
            Some(Status::Unknown) if day.share.counted > 0 => {
                let all = day.share.good >= day.share.counted;
                Self::Of(if all { Status::Up } else { Status::Degraded })
            }
            Some(status) => Self::Of(status),
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Of(status) => status.as_str(),
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Nothing => 'n',
            Self::Of(Status::Unknown) => '?',
            Self::Of(Status::Up) => 'u',
            Self::Of(Status::Degraded) => 'g',
            Self::Of(Status::Down) => 'd',
        }
    }

    /// Where its bar's middle is, from the top. Worse is taller, so that colour says nothing alone.
    const fn middle(self) -> &'static str {
        match self {
            Self::Nothing => "27",
            Self::Of(Status::Unknown | Status::Up) => "18",
            Self::Of(Status::Degraded) => "16",
            Self::Of(Status::Down) => "14",
        }
    }
}

impl Bars {
    /// The bars of the days up to that of `now`.
    pub(super) fn new(days: &[Day], now: SystemTime) -> Self {
        let unknown = DAYS.saturating_sub(days.len());
        let kept = &days[days.len().saturating_sub(DAYS)..];
        let all: Vec<Day> =
            std::iter::repeat_n(Day::default(), unknown).chain(kept.iter().copied()).collect();
        let share = total(all.iter().map(|day| day.share));
        Self {
            paths: paths(&all),
            data: data(&all),
            first: written(day_before(now, DAYS - 1), "%Y-%m-%d"),
            share: percent(share),
            words: words(&all, share, now),
        }
    }
}

fn day_before(now: SystemTime, days: usize) -> SystemTime {
    now.checked_sub(Duration::from_secs(86_400 * days as u64)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn paths(days: &[Day]) -> Vec<(&'static str, String)> {
    let path = |look: DayStatus| {
        let mut path = String::new();
        let mut place = 0;
        for run in days.chunk_by(|a, b| DayStatus::of(a) == DayStatus::of(b)) {
            if run.first().map(DayStatus::of) == Some(look) {
                let _ = write!(path, "M{} {}h{}", place * PITCH, look.middle(), run.len() * PITCH);
            }
            place += run.len();
        }
        (!path.is_empty()).then(|| (look.class(), path))
    };
    DayStatus::ALL.into_iter().filter_map(path).collect()
}

fn data(days: &[Day]) -> String {
    let missing = |day: &Day| hundredths(day.share).map_or(0, |share| 10_000 - share);
    let key = |day: &Day| (DayStatus::of(day).letter(), missing(day));
    let mut data = String::new();
    for run in days.chunk_by(|a, b| key(a) == key(b)) {
        let Some((letter, missing)) = run.first().map(key) else { continue };
        if !data.is_empty() {
            data.push(',');
        }
        data.push(letter);
        if missing > 0 {
            let _ = write!(data, "{missing}");
        }
        if run.len() > 1 {
            let _ = write!(data, "*{}", run.len());
        }
    }
    data
}

/// `99.98% over 58 days; worst 3 November: 98.2%, down`.
fn words(days: &[Day], share: Share, now: SystemTime) -> String {
    let Some(percentage) = percent(share) else { return "Nothing was recorded.".to_owned() };
    let recorded = days.iter().filter(|day| day.share.counted > 0).count();
    let over = if recorded == 1 { "1 day".to_owned() } else { format!("{recorded} days") };
    let by_share = |(_, day): &(usize, &Day)| hundredths(day.share).unwrap_or(10_000);
    // Of two that are equally bad the later one.
    let worst = days.iter().rev().enumerate().min_by_key(by_share);
    match worst.and_then(|(back, day)| Some((back, day, percent(day.share)?))) {
        Some((back, day, lowest)) if lowest != "100%" => {
            let date = written(day_before(now, back), "%-d %B");
            let status = day.worst.map_or("unknown", |worst| capital(worst)).to_lowercase();
            format!("{percentage} over {over}; worst {date}: {lowest}, {status}")
        }
        _ => format!("{percentage} over {over}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(good: u64, counted: u64, worst: Option<Status>) -> Day {
        Day { share: Share { good, counted }, worst }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_800_931)
    }

    #[test]
    fn equal_days_are_one_line_and_one_word() {
        let bars = Bars::new(&[day(10, 10, Some(Status::Up)); 90], now());
        assert_eq!(bars.paths, [("up", "M0 18h360".to_owned())]);
        assert_eq!(bars.data, "u*90");
        assert_eq!(bars.first, "2026-08-07");
        assert_eq!(bars.words, "100% over 90 days");
    }

    #[test]
    fn each_status_has_a_path_of_its_own_and_a_missing_past_is_empty() {
        let days = [
            day(10, 10, Some(Status::Up)),
            day(988, 1000, Some(Status::Down)),
            day(10, 10, Some(Status::Degraded)),
            day(10, 10, Some(Status::Up)),
        ];
        let bars = Bars::new(&days, now());
        assert_eq!(bars.data, "n*86,u,d120,g,u");
        let of = |class| bars.paths.iter().find(|(c, _)| *c == class).map(|(_, d)| d.as_str());
        assert_eq!(of("none"), Some("M0 27h344"));
        assert_eq!(of("up"), Some("M344 18h4M356 18h4"));
        assert_eq!(of("down"), Some("M348 14h4"));
        assert_eq!(of("degraded"), Some("M352 16h4"));
        assert_eq!(bars.words, "98.83% over 4 days; worst 2 November: 98.80%, down");
        assert_eq!(bars.share.as_deref(), Some("98.83%"));
    }

    #[test]
    fn a_day_that_was_unknown_for_a_while_shows_what_ran() {
        let unknown = |good, counted| day(good, counted, Some(Status::Unknown));
        let bars = Bars::new(&[unknown(0, 0), unknown(10, 10), unknown(9, 10)], now());
        assert_eq!(bars.data, "n*87,?,u,g1000");
    }

    #[test]
    fn nothing_recorded_is_said() {
        let bars = Bars::new(&[], now());
        assert_eq!((bars.data.as_str(), bars.share.as_deref()), ("n*90", None));
        assert_eq!(bars.words, "Nothing was recorded.");
    }

    #[test]
    fn more_days_than_are_shown_lose_the_oldest() {
        let mut days = vec![day(0, 10, Some(Status::Down)); 5];
        days.extend([day(10, 10, Some(Status::Up)); 90]);
        assert_eq!(Bars::new(&days, now()).data, "u*90");
    }
}
