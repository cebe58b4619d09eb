//! Text for people: colours, tables, local times.

use std::io::IsTerminal;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Whether text may have colours: on a terminal, unless `NO_COLOR` says otherwise.
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// How text for people is written.
pub(super) struct Terminal {
    colours: bool,
    zone: TimeZone,
    pub(super) now: Timestamp,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { colours: colours(), zone: TimeZone::system(), now: Timestamp::now() }
    }

    /// A status in its colour.
    pub(super) fn status(&self, status: &str, width: usize) -> String {
        let colour = match status {
            "up" => "32",
            "down" => "31",
            "unknown" | "paused" => "35",
            _ => "33",
        };
        if self.colours {
            format!("\x1b[{colour}m{status:width$}\x1b[0m")
        } else {
            format!("{status:width$}")
        }
    }

    /// A time of a document as clocks here show it.
    pub(super) fn time(&self, text: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(at) => at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
            Err(_) => plain(text),
        }
    }

    /// Time from `start` to `end`, or up to now, in its two largest units.
    pub(super) fn lasted(&self, start: &str, end: Option<&str>) -> String {
        let end = end.map_or(Ok(self.now), str::parse::<Timestamp>);
        match start.parse::<Timestamp>().and_then(|start| Ok(end?.duration_since(start))) {
            Ok(lasted) => span(lasted.as_secs().max(0).unsigned_abs()),
            Err(_) => String::new(),
        }
    }
}

/// Seconds in their two largest units: `3h 5m`.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A text of another program without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A duration in seconds, for people.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.2} s"),
        s => std::time::Duration::try_from_secs_f64(s)
            .map_or_else(|_| format!("{s} s"), |duration| span(duration.as_secs())),
    }
}

/// A share as a percentage that is never rounded up to 100.
pub(super) fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0).floor() / 100.0;
    format!("{hundredths} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let of = [0, 59, 61, 3_600, 90_061].map(span);
        assert_eq!(of, ["0s", "59s", "1m 1s", "1h 0m", "1d 1h"]);
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(
            [0.000_041, 0.0041, 2.5, 7_200.0].map(seconds),
            ["41 µs", "4.1 ms", "2.50 s", "2h 0m"]
        );
        assert_eq!([1.0, 0.99999, 0.5].map(percent), ["100 %", "99.99 %", "50 %"]);
    }

    #[test]
    fn a_terminal_is_not_given_orders() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), "a [31mb c");
    }
}
