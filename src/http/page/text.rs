//! Numbers and moments as people read them.

use std::time::{Duration, SystemTime};

use crate::history::Share;
use crate::http::reply::time;
use crate::model::{ServiceStatus, Status};

/// A moment: for machines, in full, and how long ago it was when the page was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// RFC 3339.
    pub(super) exact: String,
    /// `3 November 2026, 14:02:11 UTC`.
    pub(super) full: String,
    /// `3 h`.
    pub(super) past: String,
}

impl Moment {
    pub(super) fn new(at: SystemTime, now: SystemTime) -> Self {
        let past = span(now.duration_since(at).unwrap_or_default());
        Self { exact: time(at), full: written(at, "%-d %B %Y, %H:%M:%S UTC"), past }
    }
}

/// A moment in UTC by a format of `strftime`.
pub(super) fn written(at: SystemTime, format: &str) -> String {
    // Further from 1970 than the calendar reaches: a clock that is badly off.
    jiff::Timestamp::try_from(at)
        .map_or_else(|_| "at an unknown time".to_owned(), |at| at.strftime(format).to_string())
}

/// A length of time in its one fitting unit, rounded down: `12 s`, `3 min`, `5 h`, `3 days`.
///
/// The page's script writes it the same way.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A latency with two or three digits that matter: `0.42 ms`, `4.1 ms`, `250 ms`, `1.25 s`.
pub(super) fn latency(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match millis {
        // Each bound is where rounding would show one digit more.
        ..0.995 => format!("{millis:.2} ms"),
        ..9.95 => format!("{millis:.1} ms"),
        ..999.5 => format!("{millis:.0} ms"),
        ..9_995.0 => format!("{:.2} s", millis / 1e3),
        _ => format!("{:.1} s", millis / 1e3),
    }
}

/// A share as a percentage, rounded down, so that 100% means all of them: `99.98%`.
pub(super) fn percent(share: Share) -> Option<String> {
    let hundredths = hundredths(share)?;
    Some(match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole}%"),
        (whole, rest) => format!("{whole}.{rest:02}%"),
    })
}

/// A share in hundredths of a percent, rounded down.
pub(super) fn hundredths(share: Share) -> Option<u128> {
    let counted = u128::from(share.counted);
    (counted > 0).then(|| u128::from(share.good.min(share.counted)) * 10_000 / counted)
}

/// The sum of shares.
pub(super) fn total(shares: impl Iterator<Item = Share>) -> Share {
    shares.fold(Share::default(), |sum, share| Share {
        good: sum.good.saturating_add(share.good),
        counted: sum.counted.saturating_add(share.counted),
    })
}

/// A status at the beginning of a sentence.
pub(super) const fn capital(status: Status) -> &'static str {
    match status {
        Status::Up => "Up",
        Status::Degraded => "Degraded",
        Status::Down => "Down",
        Status::Unknown => "Unknown",
    }
}

/// The service's status at the beginning of a sentence.
pub(super) const fn capital_service(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Up => "Up",
        ServiceStatus::Degraded => "Degraded",
        ServiceStatus::Starting => "Starting",
        ServiceStatus::Draining => "Draining",
        ServiceStatus::Down => "Down",
    }
}

/// `1 check`, `7 checks`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// At most three names, and how many more there are: `a, b, c and 4 more`.
pub(super) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    match names.len().checked_sub(SHOWN) {
        // One more name is shorter than saying that there is one more.
        None | Some(0 | 1) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(good: u64, counted: u64) -> Share {
        Share { good, counted }
    }

    #[test]
    fn a_percentage_is_100_only_when_nothing_failed() {
        let cases = [
            (share(0, 0), None),
            (share(7, 7), Some("100%")),
            (share(999_999, 1_000_000), Some("99.99%")),
            (share(1, 3), Some("33.33%")),
            (share(1, 2), Some("50%")),
            (share(0, 3), Some("0%")),
            (share(u64::MAX, u64::MAX), Some("100%")),
        ];
        for (share, wanted) in cases {
            assert_eq!(percent(share).as_deref(), wanted, "{share:?}");
        }
    }

    #[test]
    fn a_latency_has_two_or_three_digits() {
        let cases = [
            (0, "0.00 ms"),
            (420, "0.42 ms"),
            (999, "1.0 ms"),
            (4_130, "4.1 ms"),
            (9_960, "10 ms"),
            (249_700, "250 ms"),
            (999_700, "1.00 s"),
            (1_254_000, "1.25 s"),
            (30_000_000, "30.0 s"),
        ];
        for (micros, wanted) in cases {
            assert_eq!(latency(Duration::from_micros(micros)), wanted);
        }
    }

    #[test]
    fn a_span_has_one_unit() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn a_moment_is_in_utc_and_the_future_is_now() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_793_800_931_500);
        let moment = Moment::new(at, at - Duration::from_secs(5));
        assert_eq!(moment.exact, "2026-11-04T14:02:11.500Z");
        assert_eq!(moment.full, "4 November 2026, 14:02:11 UTC");
        assert_eq!(moment.past, "0 s");
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a", "b", "c", "d"]), "a, b, c, d");
        assert_eq!(listed(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
