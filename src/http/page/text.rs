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
    /// `3 hours`.
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

/// A length of time in its one fitting unit, rounded down: `1 second`, `3 minutes`, `5 hours`, `3 days`.
///
/// The page's script writes it the same way.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// A length of time that somebody chose, in one unit without loss: `250 ms`, `1.5 s`, `10 s`,
/// `90 minutes`.
pub(super) fn setting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 {
        if seconds == 0 {
            return format!("{} ms", duration.as_secs_f64() * 1e3);
        }
        return format!("{} s", duration.as_secs_f64());
    }
    match seconds {
        _ if seconds < 120 || !seconds.is_multiple_of(60) => format!("{seconds} s"),
        _ if seconds.is_multiple_of(3_600) => span(duration),
        _ => format!("{} minutes", seconds / 60),
    }
}

/// What is left of an error budget of 30 days, in time: `39 minutes left of 43 minutes`.
///
/// `remaining` is the share that is left, negative when the budget is overspent; `objective` is a
/// ratio.
pub(super) fn budget(remaining: f64, objective: f64) -> String {
    const MONTH: f64 = 30.0 * 86_400.0;
    let whole = MONTH * (1.0 - objective);
    let time = |seconds: f64| span(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    if remaining < 0.0 {
        return format!("overspent by {}", time(-remaining * whole));
    }
    format!("{} left of {}", time(remaining.min(1.0) * whole), time(whole))
}

/// A figure as people read it, by the unit that its name ends in, and the name in words:
/// `replication_lag_seconds` and 0.25 are `Replication lag` and `250 ms`.
pub(super) fn figure(name: &str, value: f64, now: SystemTime) -> (String, String) {
    let (words, shown) = if let Some(words) = name.strip_suffix("_timestamp_seconds") {
        (words, moment(value, now))
    } else if let Some(words) = name.strip_suffix("_seconds") {
        (words, seconds(value))
    } else if let Some(words) = name.strip_suffix("_bytes") {
        (words, bytes(value))
    } else if let Some(words) = name.strip_suffix("_ratio") {
        (words, format!("{}%", rounded(value * 100.0)))
    } else {
        (name, rounded(value))
    };
    (phrase(words), shown)
}

/// A name as words at the beginning of a line: `tls_certificate_age` is `TLS certificate age`.
fn phrase(name: &str) -> String {
    let (first, rest) = name.split_once('_').unwrap_or((name, ""));
    let first = if matches!(first, "dns" | "icmp" | "tls") {
        first.to_ascii_uppercase()
    } else {
        let mut letters = first.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        capital.into_iter().chain(letters).collect()
    };
    format!("{first} {}", rest.replace('_', " ")).trim_end().to_owned()
}

/// `12 January 2027, in 42 days`.
fn moment(value: f64, now: SystemTime) -> String {
    let Ok(since) = Duration::try_from_secs_f64(value) else { return rounded(value) };
    let Some(at) = SystemTime::UNIX_EPOCH.checked_add(since) else { return rounded(value) };
    let date = written(at, "%-d %B %Y, %H:%M UTC");
    match (at.duration_since(now), now.duration_since(at)) {
        (Ok(ahead), _) => format!("{date}, in {}", span(ahead)),
        (_, Ok(past)) => format!("{date}, {} ago", span(past)),
        _ => date,
    }
}

fn seconds(value: f64) -> String {
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if duration < Duration::from_mins(2) => latency(duration),
        Ok(duration) => span(duration),
        Err(_) => format!("{} s", rounded(value)),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if value.abs() < 1024.0 {
        return format!("{} bytes", rounded(value));
    }
    let mut value = value / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value.abs() >= 1024.0 && units.len() > 0 {
        value /= 1024.0;
        unit = units.next();
    }
    format!("{} {}", rounded(value), unit.unwrap_or(&""))
}

/// With at most two digits after the point, and none that are zero.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3_599, "59 minutes"),
            (3_600, "1 hour"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn a_setting_loses_nothing() {
        let cases = [
            (250, "250 ms"),
            (1_500, "1.5 s"),
            (10_000, "10 s"),
            (90_000, "90 s"),
            (300_000, "5 minutes"),
            (3_600_000, "1 hour"),
            (5_400_000, "90 minutes"),
        ];
        for (millis, wanted) in cases {
            assert_eq!(setting(Duration::from_millis(millis)), wanted);
        }
    }

    #[test]
    fn an_error_budget_is_time() {
        let cases = [
            (1.0, 0.999, "43 minutes left of 43 minutes"),
            (0.5, 0.99, "3 hours left of 7 hours"),
            (0.0, 0.999, "0 seconds left of 43 minutes"),
            (-0.5, 0.999, "overspent by 21 minutes"),
            (1.0, 0.5, "15 days left of 15 days"),
        ];
        for (remaining, objective, wanted) in cases {
            assert_eq!(budget(remaining, objective), wanted);
        }
    }

    #[test]
    fn a_figure_is_shown_in_its_own_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_800_931);
        let cases = [
            ("replication_lag_seconds", 0.25, "Replication lag", "250 ms"),
            ("age_seconds", 7_300.0, "Age", "2 hours"),
            ("offset_seconds", -0.5, "Offset", "-0.5 s"),
            ("free_ratio", 0.4217, "Free", "42.17%"),
            ("available_bytes", 3_221_225_472.0, "Available", "3 GiB"),
            ("size_bytes", 12.0, "Size", "12 bytes"),
            ("connections", 7.0, "Connections", "7"),
            (
                "tls_certificate_not_after_timestamp_seconds",
                1_797_429_731.0,
                "TLS certificate not after",
                "16 December 2026, 14:02 UTC, in 42 days",
            ),
        ];
        for (name, value, words, shown) in cases {
            assert_eq!(figure(name, value, now), (words.to_owned(), shown.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_moment_is_in_utc_and_the_future_is_now() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_793_800_931_500);
        let moment = Moment::new(at, at - Duration::from_secs(5));
        assert_eq!(moment.exact, "2026-11-04T14:02:11.500Z");
        assert_eq!(moment.full, "4 November 2026, 14:02:11 UTC");
        assert_eq!(moment.past, "0 seconds");
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a", "b", "c", "d"]), "a, b, c, d");
        assert_eq!(listed(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
