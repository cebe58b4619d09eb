//! Reads the query parameters of the history routes: times, durations and numbers, with an error
//! that names the parameter.
//!
//! Unknown parameters are ignored and of one that is repeated the last counts, as on the probes.
//! A refusal names the parameter and what would be right, and nothing that was sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::Uri;
use jiff::Timestamp;
use serde::de::{self, Deserialize};

use super::problem::Problem;
use crate::config::Period;

/// The parameters of a query, decoded.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
        Self { pairs: pairs.into_owned().collect() }
    }

    /// The last value of the parameter `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A time, RFC 3339 with its offset from UTC.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<SystemTime>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = offset_restored(text).parse::<Timestamp>().ok();
        // The store counts from 1970, and nothing was recorded before.
        match time.map(SystemTime::from).filter(|time| *time >= UNIX_EPOCH) {
            Some(time) => Ok(Some(time)),
            None => Err(Problem::bad_parameter(
                name,
                "a time since 1970 as RFC 3339 has it, such as 2026-01-31T22:00:00Z",
            )),
        }
    }

    /// A span of time with its unit, as in a configuration.
    pub(super) fn duration(&self, name: &'static str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match Period::deserialize(de::value::StrDeserializer::<de::value::Error>::new(text)) {
            Ok(Period(duration)) => Ok(Some(duration)),
            Err(_) => Err(Problem::bad_parameter(name, "a duration with its unit, such as 5m")),
        }
    }

    /// A number from 1 to `most`.
    pub(super) fn count(&self, name: &'static str, most: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| (1..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Problem::bad_parameter(name, &format!("a whole number from 1 to {most}"))),
        }
    }
}

/// The plus sign of an offset, which a form means as a space: clients forget to escape it.
fn offset_restored(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains(['T', 't', ' ']) => format!("{time}+{offset}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/?{text}").parse().expect("a path with a query"))
    }

    fn seconds(text: &str) -> Option<u64> {
        let time = query(&format!("from={text}")).time("from").ok()??;
        Some(time.duration_since(UNIX_EPOCH).expect("it is later").as_secs())
    }

    #[test]
    fn times_are_read_with_any_offset_escaped_or_not() {
        for text in [
            "1970-01-01T01:00:00Z",
            "1970-01-01T01:00:00.000Z",
            "1970-01-01t01:00:00z",
            "1970-01-01T02:00:00%2B01:00",
            "1970-01-01T02:00:00+01:00",
            "1970-01-01+02:00:00+01:00",
            "1969-12-31T23:00:00-02:00",
        ] {
            assert_eq!(seconds(text), Some(3600), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_name_and_without_an_echo() {
        for text in [
            "",
            "sneaky",
            "1h",
            "2026-01-01",
            "2026-01-01T09:00:00",
            "2026-13-01T09:00:00Z",
            "1969-12-31T23:59:59Z",
            "99999-01-01T00:00:00Z",
            "%00%ff",
        ] {
            let refused = query(&format!("to={text}")).time("to").expect_err(text);
            let problem = refused.to_string();
            assert!(problem.starts_with("`to` must be a time"), "{problem}");
            assert!(!problem.contains("sneaky"), "{problem}");
        }
    }

    #[test]
    fn durations_and_numbers_are_read_or_refused() {
        let step = |text: &str| query(&format!("step={text}")).duration("step");
        assert_eq!(step("1h+30m").expect("a duration"), Some(Duration::from_mins(90)));
        assert_eq!(step("90s").expect("a duration"), Some(Duration::from_secs(90)));
        for text in ["", "0s", "5", "soon", "-5m", "101y", "99999999999999999999y"] {
            let problem = step(text).expect_err(text).to_string();
            assert_eq!(problem, "`step` must be a duration with its unit, such as 5m");
        }
        let limit = |text: &str| query(&format!("limit={text}")).count("limit", 500);
        assert_eq!(limit("500").expect("a number"), Some(500));
        for text in ["", "0", "501", "-1", "1.5", "ten", "99999999999999999999"] {
            let problem = limit(text).expect_err(text).to_string();
            assert_eq!(problem, "`limit` must be a whole number from 1 to 500");
        }
    }

    #[test]
    fn unknown_parameters_are_ignored_and_the_last_of_a_repeated_one_counts() {
        let query = query("limit=x&other=1&limit=7");
        assert_eq!(query.count("limit", 500).expect("a number"), Some(7));
        assert_eq!(query.time("from").expect("none was given"), None);
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_a_panic(text in "[!-~]{0,80}") {
            let Ok(uri) = format!("/?from={text}&step={text}&limit={text}").parse() else {
                return Ok(());
            };
            let query = Query::of(&uri);
            let _ = (query.time("from"), query.duration("step"), query.count("limit", 9));
        }

        #[test]
        fn any_time_since_1970_comes_back(seconds in 0i64..253_402_207_200, offset in -12i8..=12) {
            let time = Timestamp::from_second(seconds).expect("a time");
            let zoned = time.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(offset)));
            let text = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            let read = query(&format!("from={text}")).time("from").expect("a time");
            prop_assert_eq!(read, Some(SystemTime::from(time)));
        }
    }
}
