//! The value types of options, each with the text form that a configuration holds and the schema
//! that describes it.
//!
//! Parsing here is pure: references to files and variables were replaced before. Markers in the
//! schema tell the loader where that applies: `x-secret` (also takes `{ file = … }` and
//! `{ env = … }`), `x-path` (relative to the file that holds it), and beside it `x-pem` (that
//! file's `certificates` or `key` are part of the configuration).

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

pub use crate::model::Secret;

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

/// A number of at least 1, such as a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(pub u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl de::Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {}", u32::MAX)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                u32::try_from(number)
                    .ok()
                    .filter(|number| *number > 0)
                    .map(Count)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_u32(Number)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "description": "A whole number of at least 1.",
            "minimum": 1,
            "maximum": u32::MAX,
        })
    }
}

/// A number of bytes: `"512KiB"`, `"1MiB"`, `"10MB"` or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    const UNITS: [(&'static str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (unit, factor) = Self::UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
        let number = text[..text.len() - unit.len()].trim();
        number.parse::<u64>().ok()?.checked_mul(*factor).map(Self)
    }
}

/// In the largest binary unit that it reaches, to one decimal.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = Self::UNITS[..4].iter().rev().find(|(_, factor)| self.0 >= *factor);
        match binary {
            Some((unit, factor)) => write!(f, "{:.1} {unit}", self.0 as f64 / *factor as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;
        impl de::Visitor<'_> for TextOrNumber {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"512KiB\", \"1MiB\" or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A size such as \"512KiB\", \"1MiB\", \"10MB\", or a number of bytes.",
            "pattern": r"^\s*\d+\s*([KMGT]iB|[kMGT]?B)\s*$",
            "minimum": 0,
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, { file = \"…\" } or { env = \"NAME\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A string, or { file = \"…\" } or { env = \"NAME\" } that holds it.",
            "x-secret": true,
            "oneOf": [
                { "type": "string" },
                { "type": "object", "required": ["file"], "additionalProperties": false,
                  "properties": { "file": { "type": "string" } } },
                { "type": "object", "required": ["env"], "additionalProperties": false,
                  "properties": { "env": { "type": "string" } } },
            ],
        })
    }
}

/// A path; the loader makes a relative one relative to the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConfigPath(pub PathBuf);

impl<'de> Deserialize<'de> for ConfigPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathBuf::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for ConfigPath {
    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A path, relative to the file that holds it.",
            "x-path": true,
        })
    }
}

/// TLS towards a dependency. The certificate is verified against the system's authorities and
/// the host name unless said otherwise.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// PEM file with the authorities to trust instead of the system's.
    #[schemars(extend("x-pem" = "certificates"))]
    pub ca: Option<ConfigPath>,
    /// PEM file with the client certificate chain; needs `key`.
    #[schemars(extend("x-pem" = "certificates"))]
    pub cert: Option<ConfigPath>,
    /// PEM file with the client certificate's private key; needs `cert`.
    #[schemars(extend("x-pem" = "key"))]
    pub key: Option<ConfigPath>,
    /// Name to ask for and to verify instead of the host's.
    pub server_name: Option<String>,
    /// Accept any certificate. Default false.
    #[serde(default)]
    pub insecure: bool,
}

/// Whether to speak TLS, and how: `true` is `{}`, `false` is none.
#[derive(Debug, Clone, Default)]
pub struct Tls(pub Option<TlsOptions>);

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SwitchOrTable;
        impl<'de> de::Visitor<'de> for SwitchOrTable {
            type Value = Tls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a table of ca, cert, key, server_name, insecure")
            }

            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<Tls, E> {
                Ok(Tls(wanted.then(TlsOptions::default)))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Tls, A::Error> {
                TlsOptions::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|o| Tls(Some(o)))
            }
        }
        deserializer.deserialize_any(SwitchOrTable)
    }
}

impl JsonSchema for Tls {
    fn schema_name() -> Cow<'static, str> {
        "Tls".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<TlsOptions>();
        json_schema!({
            "description": "`true`, which is `{}`, `false` for none, or a table of options.",
            "anyOf": [{ "type": "boolean" }, table],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: for<'de> Deserialize<'de>>(value: &str) -> Result<T, String> {
        #[derive(serde::Deserialize)]
        struct Holder<T> {
            v: T,
        }
        toml::from_str::<Holder<T>>(&format!("v = {value}"))
            .map(|h| h.v)
            .map_err(|e| e.message().into())
    }

    #[test]
    fn durations_need_a_unit_and_are_above_zero() {
        assert_eq!(parse::<Period>("\"250ms\""), Ok(Period(Duration::from_millis(250))));
        assert_eq!(parse::<Period>("\"1h 30m\""), Ok(Period(Duration::from_mins(90))));
        for bad in ["\"5\"", "\"0s\"", "\"0\"", "\"-5s\"", "5", "\"\"", "\"5 parsecs\""] {
            assert!(parse::<Period>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!(parse::<ByteSize>("\"1MiB\""), Ok(ByteSize(1 << 20)));
        assert_eq!(parse::<ByteSize>("\"10 MB\""), Ok(ByteSize(10_000_000)));
        assert_eq!(parse::<ByteSize>("42"), Ok(ByteSize(42)));
        for bad in ["\"1\"", "\"1 mib\"", "-1", "\"99999999999999TiB\"", "true"] {
            assert!(parse::<ByteSize>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let secret = parse::<Secret>("\"hunter2\"").expect("a string");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
        assert!(secret == Secret::new("hunter2") && secret != Secret::new("hunter"));
    }

    #[test]
    fn tls_takes_a_switch_or_a_table() {
        assert!(parse::<Tls>("true").is_ok_and(|t| t.0.is_some()));
        assert!(parse::<Tls>("false").is_ok_and(|t| t.0.is_none()));
        assert!(parse::<Tls>("{ insecure = true }").is_ok_and(|t| t.0.is_some_and(|o| o.insecure)));
        assert!(parse::<Tls>("{ unsafe = true }").is_err());
        assert!(parse::<Tls>("1").is_err());
    }
}
