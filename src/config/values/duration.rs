//! Durations, written with their unit.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

/// A span of time, written with its unit: `"250ms"`, `"5s"`, `"1h 30m"`, `"30d"`. Above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

/// The units, as they are written.
const UNITS: &str = "nanos nsec ns usec us µs millis msec ms seconds second secs sec s minutes \
                     minute mins min m hours hour hrs hr h days day d weeks week wks wk w months \
                     month years year yrs yr y";

/// The library that reads durations accepts it for months, but people who write `5M` mean minutes.
const MONTHS: &str = "M";

/// Longest duration that is accepted: sums of a few of them still fit the clocks' types.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"250ms\", \"5s\" or \"1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                if units(text).is_some_and(|units| units.contains(&MONTHS)) {
                    let message = "`M` stands for months; write `m` for minutes, or `months`";
                    return Err(E::custom(message));
                }
                let written = units(text)
                    .is_some_and(|units| units.iter().all(|unit| is_unit(unit)))
                    .then(|| humantime::parse_duration(text));
                match written.unwrap_or(Err(humantime::DurationError::Empty)) {
                    Ok(Duration::ZERO) => {
                        Err(E::custom("a duration of zero; write one above zero, such as \"5s\""))
                    }
                    Ok(duration) if duration > LONGEST => {
                        Err(E::custom("the duration is too long; at most 100 years are possible"))
                    }
                    Ok(duration) => Ok(Period(duration)),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn is_unit(text: &str) -> bool {
    UNITS.split_whitespace().any(|unit| unit == text)
}

/// The units of a text that is numbers, each with its unit behind it; the same form as in the
/// schema.
fn units(text: &str) -> Option<Vec<&str>> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut units = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let whole = digits(rest);
        let fraction = match rest[whole..].strip_prefix('.') {
            Some(after) => 1 + Some(digits(after)).filter(|length| *length > 0)?,
            None => 0,
        };
        let behind = rest[whole + fraction..].trim_start();
        let unit = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        if whole == 0 || unit == 0 {
            return None;
        }
        units.push(&behind[..unit]);
        rest = behind[unit..].trim_start();
    }
    (!units.is_empty()).then_some(units)
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit, such as \"250ms\", \"5s\" or \"1h 30m\".",
            "pattern": format!(
                r"^\s*(\d+(\.\d+)?\s*({})(?![A-Za-z])\s*)+$",
                UNITS.split_whitespace().collect::<Vec<_>>().join("|"),
            ),
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn durations_need_a_unit_and_are_above_zero() {
        assert_eq!(parse::<Period>("\"250ms\""), Ok(Period(Duration::from_millis(250))));
        assert_eq!(parse::<Period>("\"1h 30m\""), Ok(Period(Duration::from_mins(90))));
        assert_eq!(parse::<Period>("\"1.5s\""), Ok(Period(Duration::from_millis(1500))));
        for bad in ["\"5\"", "\"0s\"", "\"0\"", "\"-5s\"", "5", "\"\"", "\"5 parsecs\""] {
            assert!(parse::<Period>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_capital_m_is_refused_as_months() {
        for months in ["\"5M\"", "\"1 M\"", "\"1h 5M\"", "\"1.5M\""] {
            let wrong = parse::<Period>(months).expect_err(months);
            assert_eq!(wrong, "`M` stands for months; write `m` for minutes, or `months`");
        }
        assert_eq!(parse::<Period>("\"5m\""), Ok(Period(Duration::from_mins(5))));
        assert!(parse::<Period>("\"2 months\"").is_ok());
    }

    #[test]
    fn the_schema_takes_exactly_what_is_read() {
        let schema = schemars::schema_for!(Period).to_value();
        let schema = jsonschema::validator_for(&schema).expect("a schema");
        for text in [
            "5s",
            "1.5s",
            "0.25 h",
            "1h 30m",
            "1h30m",
            " 5 s ",
            "1 day",
            "2weeks",
            "3 months",
            "1y",
            "10us",
            "10µs",
            "100ns",
            "1.s",
            ".5s",
            "5",
            "5M",
            "5S",
            "5 parsecs",
            "-5s",
            "+5s",
            "s",
            "",
            " ",
            "1 0s",
            "1,5s",
            "1e3s",
            "5s!",
            "5s 6",
            "1_000s",
        ] {
            let read = parse::<Period>(&format!("{text:?}")).is_ok();
            assert_eq!(schema.is_valid(&text.into()), read, "{text:?}");
        }
    }
}
