//! Durations, written with their unit.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

/// A span of time, written with its unit: `"250ms"`, `"5s"`, `"1h 30m"`, `"30d"`. Above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

/// Longest span taken: sums of a few of them still fit the clocks' types.
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
                match humantime::parse_duration(text) {
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

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit, such as \"250ms\", \"5s\" or \"1h 30m\".",
            "pattern": r"^\s*(\d+\s*[A-Za-z]+\s*)+$",
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
        for bad in ["\"5\"", "\"0s\"", "\"0\"", "\"-5s\"", "5", "\"\"", "\"5 parsecs\""] {
            assert!(parse::<Period>(bad).is_err(), "{bad}");
        }
    }
}
