//! A part of a whole, in percent or in bytes.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

use super::size::ByteSize;

/// A share such as `"10%"` or a size such as `"5GiB"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SizeOrShare {
    /// A number of bytes.
    Size(ByteSize),
    /// Percent, from 0 to 100.
    Share(f64),
}

impl SizeOrShare {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(percent) = text.strip_suffix('%') else {
            return ByteSize::parse(text).map(Self::Size);
        };
        let percent = percent.trim_end();
        // No sign, exponent, infinity or NaN.
        let plain = percent.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let percent = percent.parse().ok().filter(|percent| plain && *percent <= 100.0);
        percent.map(Self::Share)
    }

    /// Whether this is less than `other`; nothing when one is a share and the other a size.
    #[must_use]
    pub fn is_less_than(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Size(one), Self::Size(other)) => Some(one < other),
            (Self::Share(one), Self::Share(other)) => Some(one < other),
            _ => None,
        }
    }
}

impl fmt::Display for SizeOrShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(f),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

impl<'de> Deserialize<'de> for SizeOrShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = SizeOrShare;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share from \"0%\" to \"100%\" or a size such as \"5GiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SizeOrShare, E> {
                SizeOrShare::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for SizeOrShare {
    fn schema_name() -> Cow<'static, str> {
        "SizeOrShare".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A share such as \"10%\" or a size such as \"5GiB\".",
            "pattern": r"^\s*(\d+(\.\d*)?\s*%|\d+\s*([KMGT]iB|[kMGT]?B))\s*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_sizes_are_read_and_shown() {
        for (text, shown) in [
            ("10%", "10%"),
            (" 0.5 % ", "0.5%"),
            ("100%", "100%"),
            ("0%", "0%"),
            ("5GiB", "5.0 GiB"),
            ("512 B", "512 B"),
            ("1536KiB", "1.5 MiB"),
        ] {
            let parsed = SizeOrShare::parse(text).expect(text);
            assert_eq!(parsed.to_string(), shown);
        }
        for wrong in ["", "%", "10", "-1%", "+1%", "100.1%", "NaN%", "inf%", "1e1%", "5 parsecs"] {
            assert_eq!(SizeOrShare::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_two_of_a_sort_compare() {
        let read = |text| SizeOrShare::parse(text).expect("a value");
        assert_eq!(read("5%").is_less_than(read("10%")), Some(true));
        assert_eq!(read("1GiB").is_less_than(read("1MiB")), Some(false));
        assert_eq!(read("1GiB").is_less_than(read("10%")), None);
    }
}
