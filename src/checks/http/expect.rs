//! The expectations of an answer, and the messages when one is not met.

use std::fmt;

use hyper::StatusCode;
use hyper::header::HeaderName;
use hyper::http::response;
use regex::bytes::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};
use serde_json::Value;
use serde_json_path::{JsonPath, LocatedNode};

use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net::json::Document;
use crate::net::{self, Endpoint, body};

/// A status or several: `"2xx"`, `"404"`, `404` or `"200-204"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statuses {
    first: u16,
    last: u16,
}

impl Statuses {
    /// Those that start with 2.
    pub(super) const SUCCESS: Self = Self { first: 200, last: 299 };

    fn parse(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            let class = Self::digits(class, 1)?;
            return Self::between(class * 100, class * 100 + 99);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::between(Self::digits(first.trim(), 3)?, Self::digits(last.trim(), 3)?)
    }

    fn digits(text: &str, count: usize) -> Option<u16> {
        let digits = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    }

    /// The final statuses of RFC 9110, section 15: an interim one (1xx) is never the answer.
    fn between(first: u16, last: u16) -> Option<Self> {
        (200 <= first && first <= last && last <= 599).then_some(Self { first, last })
    }

    fn contains(self, status: StatusCode) -> bool {
        (self.first..=self.last).contains(&status.as_u16())
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last {
            write!(f, "{first}")
        } else if first % 100 == 0 && *last == first + 99 {
            write!(f, "{}xx", first / 100)
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;
        impl de::Visitor<'_> for TextOrNumber {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status from 200 to 599, such as \"2xx\", \"200-204\" or 404")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                Statuses::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Statuses, E> {
                let status = u16::try_from(number).ok();
                status
                    .and_then(|status| Statuses::between(status, status))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A status such as \"2xx\", \"200-204\", \"404\" or 404.",
            "pattern": r"^([2-5](xx|XX)|[2-5]\d\d( *- *[2-5]\d\d)?)$",
            "minimum": 200,
            "maximum": 599,
        })
    }
}

/// Everything expected of an answer.
#[derive(Debug, Default)]
pub(super) struct Expect {
    pub(super) statuses: Vec<Statuses>,
    pub(super) headers: Vec<(HeaderName, Regex)>,
    pub(super) not_headers: Vec<(HeaderName, Regex)>,
    pub(super) body: Option<Regex>,
    pub(super) not_body: Option<Regex>,
    pub(super) json: Vec<(String, JsonPath, Value)>,
}

impl Expect {
    /// Whether the bytes of the body matter.
    pub(super) fn wants_body(&self) -> bool {
        self.body.is_some() || self.not_body.is_some() || !self.json.is_empty()
    }

    /// Judges status and headers.
    pub(super) fn head(&self, from: &Endpoint, head: &response::Parts) -> Result<(), Failure> {
        if !self.statuses.iter().any(|expected| expected.contains(head.status)) {
            return Err(self.unexpected(from, head.status));
        }
        for (name, expected) in &self.headers {
            let mut values = head.headers.get_all(name).iter();
            if values.any(|value| expected.is_match(value.as_bytes())) {
                continue;
            }
            let what = if head.headers.contains_key(name) {
                "is not as expect.headers asks for"
            } else {
                "is missing, which expect.headers asks for"
            };
            return Err(unmet(format!("the header {name} from {from} {what}")));
        }
        for (name, unwanted) in &self.not_headers {
            let mut values = head.headers.get_all(name).iter();
            if values.any(|value| unwanted.is_match(value.as_bytes())) {
                let what = "is what expect.not_headers rules out";
                return Err(unmet(format!("the header {name} from {from} {what}")));
            }
        }
        Ok(())
    }

    fn unexpected(&self, from: &Endpoint, status: StatusCode) -> Failure {
        let expected: Vec<_> = self.statuses.iter().map(ToString::to_string).collect();
        net::unexpected_status(from, status, &expected.join(", "))
    }

    /// Judges the body.
    pub(super) fn body(&self, from: &Endpoint, body: &[u8]) -> Result<(), Failure> {
        let text = body::text(body);
        if self.body.as_ref().is_some_and(|expected| !expected.is_match(&text)) {
            let text = format!("the body from {from} does not match expect.body_regex");
            return Err(unmet(text));
        }
        if self.not_body.as_ref().is_some_and(|unwanted| unwanted.is_match(&text)) {
            let text = format!("the body from {from} matches expect.not_body_regex");
            return Err(unmet(text));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let document = Document::read(body)
            .ok_or_else(|| unmet(format!("the body from {from} is not JSON")))?;
        for (text, path, expected) in &self.json {
            let found = path.query_located(document.value());
            if found.is_empty() {
                let levels = if document.is_cut() { ", as deep as it is read" } else { "" };
                return Err(unmet(format!("the body from {from} has nothing at {text}{levels}")));
            }
            let differs = |node: &&LocatedNode<'_>| {
                !document.same(&node.location().to_json_pointer(), node.node(), expected)
            };
            if let Some(other) = found.iter().find(differs) {
                let what = format!("{} that expect.json does not ask for", type_of(other.node()));
                return Err(unmet(format!("the body from {from} has at {text} {what}")));
            }
        }
        Ok(())
    }
}

/// The call succeeded; only an expectation was not met.
fn unmet(text: String) -> Failure {
    Failure::new(Reason::UnexpectedBody, text).answered()
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "a null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statuses_are_classes_numbers_and_ranges() {
        let of = |first, last| Some(Statuses { first, last });
        assert_eq!(Statuses::parse("2xx"), Some(Statuses::SUCCESS));
        assert_eq!(Statuses::parse("5XX"), of(500, 599));
        assert_eq!(Statuses::parse("404"), of(404, 404));
        assert_eq!(Statuses::parse("200-204"), of(200, 204));
        for bad in ["", "2x", "xx", "1xx", "6xx", "20", "99", "600", "204-200", "+04", "2xx-3xx"] {
            assert_eq!(Statuses::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_of_statuses_reads_back(text in "[0-9xX -]{0,9}") {
            if let Some(statuses) = Statuses::parse(&text) {
                prop_assert_eq!(Statuses::parse(&statuses.to_string()), Some(statuses));
            }
        }
    }
}
