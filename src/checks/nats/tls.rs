//! The option `tls` of this kind: that of other kinds plus `handshake_first`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::config::{ConfigPath, Tls, TlsOptions};

/// Whether to speak TLS, and how.
#[derive(Debug)]
pub(super) struct NatsTls {
    pub(super) tls: Tls,
    /// Whether TLS begins before the server's greeting.
    pub(super) handshake_first: bool,
}

/// TLS towards a NATS server. By default the certificate is verified against the system's
/// authorities and the host name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NatsTlsOptions {
    /// PEM file with the authorities to trust instead of the system's.
    #[schemars(extend("x-pem" = "certificates"))]
    ca: Option<ConfigPath>,
    /// PEM file with the client certificate chain; needs `key`.
    #[schemars(extend("x-pem" = "certificates"))]
    cert: Option<ConfigPath>,
    /// PEM file with the client certificate's private key; needs `cert`.
    #[schemars(extend("x-pem" = "key"))]
    key: Option<ConfigPath>,
    /// Name to send (SNI) and to verify instead of the host's.
    server_name: Option<String>,
    /// Accept any certificate. Default false.
    #[serde(default)]
    insecure: bool,
    /// Start TLS before the server's greeting. Default false.
    #[serde(default)]
    handshake_first: bool,
}

impl<'de> Deserialize<'de> for NatsTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SwitchOrTable;
        impl<'de> de::Visitor<'de> for SwitchOrTable {
            type Value = NatsTls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "true, false or a table of ca, cert, key, server_name, insecure, handshake_first",
                )
            }

            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<NatsTls, E> {
                let tls = Tls(wanted.then(TlsOptions::default));
                Ok(NatsTls { tls, handshake_first: false })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<NatsTls, A::Error> {
                let options =
                    NatsTlsOptions::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let NatsTlsOptions { ca, cert, key, server_name, insecure, handshake_first } =
                    options;
                let tls = Tls(Some(TlsOptions { ca, cert, key, server_name, insecure }));
                Ok(NatsTls { tls, handshake_first })
            }
        }
        deserializer.deserialize_any(SwitchOrTable)
    }
}

impl JsonSchema for NatsTls {
    fn schema_name() -> Cow<'static, str> {
        "NatsTls".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<NatsTlsOptions>();
        json_schema!({
            "description": "`true`, which is `{}`, `false` for none, or a table of options.",
            "anyOf": [{ "type": "boolean" }, table],
        })
    }
}
