//! The options of the `dns` kind, and how a check is built from them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer};

use super::Dns;
use super::answer::{self, Wanted};
use crate::config::{KindOptions, OptionError};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::Endpoint;

/// RFC 1035, section 4.2: both transports listen there.
pub(super) const PORT: u16 = 53;

/// Sends one query to one name server and checks the answer.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DnsOptions {
    /// The name to query, such as `"orders.example"`. It is always complete; no search domains are
    /// used. With `type = "PTR"` it may also be an address.
    name: String,
    /// The type of record to query. Default `"A"`.
    #[serde(default, rename = "type", deserialize_with = "in_any_case")]
    kind: RecordKind,
    /// The name server to query: `"10.0.0.53"`, `"[::1]:5353"` or `"ns1.example:53"`; the default
    /// port is 53. Default: the first of the system's.
    resolver: Option<String>,
    /// `"udp"` or `"tcp"`. Default `"udp"`; after a truncated answer the query is sent again over
    /// TCP.
    #[serde(default)]
    transport: Transport,
    /// Expectations of the answer. Without it, any record of the queried type is accepted.
    #[serde(default)]
    expect: ExpectOptions,
}

/// What must come back.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DnsExpect")]
struct ExpectOptions {
    /// A record, or a list of records, that must be in the answer; it may have others. Examples are
    /// `"10.0.0.1"`, `"10 mail.example"` for MX, and the text itself for TXT. The final dot of
    /// names is optional, and case does not matter, except in TXT.
    contains: Option<Texts>,
    /// The expected response code. Default `"NOERROR"`; with another one, such as `"NXDOMAIN"` for
    /// a name that must not exist, no record is expected.
    #[serde(default, deserialize_with = "in_any_case")]
    rcode: Code,
}

/// A type of record.
#[derive(Debug, Default, Clone, Copy, serde::Deserialize, JsonSchema)]
#[schemars(rename = "DnsType")]
#[allow(clippy::upper_case_acronyms, reason = "these are the names that everybody knows")]
enum RecordKind {
    /// IPv4 address.
    #[default]
    A,
    /// IPv6 address.
    AAAA,
    /// Authorities that may issue certificates.
    CAA,
    /// The name that this one is an alias of.
    CNAME,
    /// Mail servers.
    MX,
    /// Name servers.
    NS,
    /// The name of an address.
    PTR,
    /// Start of the zone.
    SOA,
    /// Hosts and ports of a service.
    SRV,
    /// Text.
    TXT,
}

impl RecordKind {
    const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::AAAA => RecordType::AAAA,
            Self::CAA => RecordType::CAA,
            Self::CNAME => RecordType::CNAME,
            Self::MX => RecordType::MX,
            Self::NS => RecordType::NS,
            Self::PTR => RecordType::PTR,
            Self::SOA => RecordType::SOA,
            Self::SRV => RecordType::SRV,
            Self::TXT => RecordType::TXT,
        }
    }
}

/// The transport of the query.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "DnsTransport")]
pub(super) enum Transport {
    /// UDP, and TCP if the answer is truncated.
    #[default]
    Udp,
    /// TCP.
    Tcp,
}

/// A response code.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "DnsCode")]
enum Code {
    /// No error.
    #[default]
    NoError,
    /// The server did not understand the query.
    FormErr,
    /// The server failed.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// The server does not implement this sort of query.
    NotImp,
    /// The server refuses to answer.
    Refused,
}

impl Code {
    const fn response_code(self) -> ResponseCode {
        match self {
            Self::NoError => ResponseCode::NoError,
            Self::FormErr => ResponseCode::FormErr,
            Self::ServFail => ResponseCode::ServFail,
            Self::NxDomain => ResponseCode::NXDomain,
            Self::NotImp => ResponseCode::NotImp,
            Self::Refused => ResponseCode::Refused,
        }
    }
}

/// Reads a value whose names are in upper case; lower case is accepted, too.
fn in_any_case<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let text = String::deserialize(deserializer)?.to_ascii_uppercase();
    T::deserialize(text.into_deserializer())
}

/// One text or a list of them.
#[derive(Debug)]
struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> de::Visitor<'de> for OneOrMore {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record such as \"10.0.0.1\", or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Texts, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Texts)
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "DnsRecords".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A record as text, or a list of them.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    }
}

impl KindOptions for DnsOptions {
    const NAME: &'static str = "dns";
    const SUMMARY: &'static str = "one query to a named resolver";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&answer::TTL];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let name = name(&self.name, self.kind)
            .map_err(|error| errors.push(OptionError::new("name", error)));
        let resolver = self.resolver.as_deref().map(|text| Endpoint::parse_or(text, PORT));
        let resolver = resolver.transpose().map_err(|error| {
            errors.push(OptionError::new("resolver", error));
        });
        let contains = wanted(&self.expect, self.kind).map_err(|wrong| errors.extend(wrong));
        let (Ok(name), Ok(resolver), Ok(contains)) = (name, resolver, contains) else {
            return Err(errors);
        };
        Ok(Arc::new(Dns {
            name,
            record_type: self.kind.record_type(),
            resolver,
            transport: self.transport,
            code: self.expect.rcode.response_code(),
            contains,
        }))
    }
}

/// The name to ask for, complete and in its ASCII form.
fn name(text: &str, kind: RecordKind) -> Result<Name, String> {
    if let (RecordKind::PTR, Ok(ip)) = (kind, text.parse::<IpAddr>()) {
        return Ok(ip.into());
    }
    let name = if text.is_empty() { None } else { Name::from_str_relaxed(text).ok() };
    let mut name = name.ok_or("this is no domain name; write one such as \"orders.example\"")?;
    if text.parse::<IpAddr>().is_ok() {
        return Err("an address has names, but is none; ask for them with type = \"PTR\"".into());
    }
    name.set_fqdn(true);
    Ok(name)
}

fn wanted(expect: &ExpectOptions, kind: RecordKind) -> Result<Vec<Wanted>, Vec<OptionError>> {
    const PATH: &str = "expect.contains";
    let Some(Texts(texts)) = &expect.contains else { return Ok(Vec::new()) };
    if expect.rcode != Code::NoError {
        let text = "an answer with another code than NOERROR has no records; leave one out";
        return Err(vec![OptionError::new(PATH, text)]);
    }
    let mut errors = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        if let Some(message) = objection(text, kind) {
            let path = if texts.len() == 1 { PATH.into() } else { format!("{PATH}[{index}]") };
            errors.push(OptionError::new(path, message));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let record_type = kind.record_type();
    Ok(texts.iter().map(|text| answer::wanted(text, record_type)).collect())
}

/// Why no record of `kind` can be `text`.
fn objection(text: &str, kind: RecordKind) -> Option<&'static str> {
    match kind {
        RecordKind::A if text.parse::<Ipv4Addr>().is_err() => {
            Some("no IPv4 address; write one such as \"10.0.0.1\"")
        }
        RecordKind::AAAA if text.parse::<Ipv6Addr>().is_err() => {
            Some("no IPv6 address; write one such as \"2001:db8::1\"")
        }
        _ if text.trim().is_empty() => Some("the text is empty; write that of a record"),
        _ => None,
    }
}
