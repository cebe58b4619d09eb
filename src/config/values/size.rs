//! Numbers of bytes, written with their unit.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

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

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!(parse::<ByteSize>("\"1MiB\""), Ok(ByteSize(1 << 20)));
        assert_eq!(parse::<ByteSize>("\"10 MB\""), Ok(ByteSize(10_000_000)));
        assert_eq!(parse::<ByteSize>("42"), Ok(ByteSize(42)));
        for bad in ["\"1\"", "\"1 mib\"", "-1", "\"99999999999999TiB\"", "true"] {
            assert!(parse::<ByteSize>(bad).is_err(), "{bad}");
        }
    }
}
