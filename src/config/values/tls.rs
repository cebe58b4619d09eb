//! TLS options of a check and of the server.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

use super::path::ConfigPath;

/// TLS towards a dependency. By default the certificate is verified against the system's
/// authorities and the host name.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// PEM file with the authorities to trust instead of the system's. If it contains the server's
    /// own certificate, for example a self-signed one, that certificate is trusted directly.
    #[schemars(extend("x-pem" = "certificates"))]
    pub ca: Option<ConfigPath>,
    /// PEM file with the client certificate chain; needs `key`.
    #[schemars(extend("x-pem" = "certificates"))]
    pub cert: Option<ConfigPath>,
    /// PEM file with the client certificate's private key; needs `cert`.
    #[schemars(extend("x-pem" = "key"))]
    pub key: Option<ConfigPath>,
    /// Name to send (SNI) and to verify instead of the host's.
    pub server_name: Option<String>,
    /// Accept any certificate, whatever its key, version, name and dates. Default false.
    #[serde(default)]
    pub insecure: bool,
}

/// Whether and how to use TLS: `true` is `{}`, `false` turns it off.
#[derive(Debug, Clone, Default)]
pub struct Tls(pub Option<TlsOptions>);

#[cfg(feature = "http")]
impl Tls {
    /// What is wrong with the option beside a URL of this scheme: TLS without, or none with it.
    pub(crate) fn contradiction(tls: Option<&Self>, scheme: &str) -> Option<String> {
        let (plain, secure, is_secure) = match scheme {
            "http" | "https" => ("http", "https", scheme == "https"),
            "ws" | "wss" => ("ws", "wss", scheme == "wss"),
            _ => return None,
        };
        let article = if plain == "http" { "an" } else { "a" };
        match tls {
            Some(Self(Some(_))) if !is_secure => Some(format!(
                "{article} {plain} URL is asked without TLS; write {secure}:// or leave this out"
            )),
            Some(Self(None)) if is_secure => Some(format!(
                "{article} {secure} URL is asked with TLS; write {plain}:// or leave this out"
            )),
            _ => None,
        }
    }
}

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

/// The certificate of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file with the certificate chain, the server's own first.
    #[schemars(extend("x-pem" = "certificates"))]
    pub cert: ConfigPath,
    /// PEM file with its private key.
    #[schemars(extend("x-pem" = "key"))]
    pub key: ConfigPath,
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn tls_takes_a_switch_or_a_table() {
        assert!(parse::<Tls>("true").is_ok_and(|t| t.0.is_some()));
        assert!(parse::<Tls>("false").is_ok_and(|t| t.0.is_none()));
        assert!(parse::<Tls>("{ insecure = true }").is_ok_and(|t| t.0.is_some_and(|o| o.insecure)));
        assert!(parse::<Tls>("{ unsafe = true }").is_err());
        assert!(parse::<Tls>("1").is_err());
    }
}
