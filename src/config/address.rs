//! The address that a server listens on.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

/// An address to listen on: `"127.0.0.1:8080"`, `"[::]:8080"`, or `"localhost:8080"`, which is
/// 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listen(pub SocketAddr);

impl Listen {
    /// Whether only this host can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// The text is not an address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address and port, such as 127.0.0.1:8080, [::]:8080 or localhost:8080")]
pub struct NotAnAddress;

impl FromStr for Listen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let port = text.strip_prefix("localhost:");
        let local = port
            .and_then(|port| port.parse().ok())
            .map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        local.or_else(|| text.parse().ok()).map(Self).ok_or(NotAnAddress)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address and port, such as \"127.0.0.1:8080\", \"[::]:8080\" or \
                     \"localhost:8080\"",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An address and port, such as \"127.0.0.1:8080\" or \"[::]:8080\".",
        })
    }
}
