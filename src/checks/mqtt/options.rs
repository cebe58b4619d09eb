//! The options of the `mqtt` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    NOT_AFTER, Schemes, ServerUrl, UNUSED_NOT_AFTER, UrlForm, WARN_BEFORE, tls_client,
};

use super::Mqtt;

/// Connects to a broker, logs in and sends a ping.
///
/// Each run uses a unique client identifier and a session that ends with the run, so it does not
/// disconnect another client. A broker that is busy or at a quota fails the run with `overloaded`,
/// one that is unavailable or shutting down with `not_serving`. Many brokers just close the
/// connection then, which is `connection_reset`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttOptions {
    /// Address of the broker: `mqtt://user:password@host:1883`, or `mqtts://` with TLS, port 8883.
    /// Port and credentials are optional; special characters must be percent-encoded.
    url: Secret,
    /// The version of the protocol. Default `3.1.1`. All brokers support it; version 5
    /// distinguishes more causes of a refusal.
    #[serde(default)]
    version: Version,
    /// Options of TLS for an `mqtts` URL.
    tls: Option<Tls>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[schemars(rename = "MqttVersion")]
pub(super) enum Version {
    /// OASIS, 2014.
    #[default]
    #[serde(rename = "3.1.1")]
    Three,
    /// OASIS, 2019.
    #[serde(rename = "5")]
    Five,
}

impl Version {
    /// The number that stands for it in a packet.
    pub(super) const fn level(self) -> u8 {
        match self {
            Self::Three => 4,
            Self::Five => 5,
        }
    }

    /// The version as the configuration has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Three => "3.1.1",
            Self::Five => "5",
        }
    }
}

const FORM: UrlForm = UrlForm {
    schemes: &[Schemes { plain: ("mqtt", 1883), secure: ("mqtts", 8883) }],
    example: "mqtt://user:password@host:1883",
};

impl KindOptions for MqttOptions {
    const NAME: &'static str = "mqtt";
    const SUMMARY: &'static str = "connect, ping";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl MqttOptions {
    /// Builds the check from valid options.
    pub(super) fn make(self) -> Result<Mqtt, Vec<OptionError>> {
        let server =
            read(&self.url, self.version).map_err(|text| vec![OptionError::new("url", text)]);
        let tls = tls_client(server.as_ref().ok(), self.tls);
        match (server, tls) {
            (Ok(server), Ok(tls)) => Ok(Mqtt {
                endpoint: server.endpoint,
                user: Some(server.user).filter(|user| !user.is_empty()),
                password: server.password,
                version: self.version,
                tls,
            }),
            (server, tls) => {
                Err([server.err(), tls.err()].into_iter().flatten().flatten().collect())
            }
        }
    }
}

/// Reads a URL whose credentials the protocol can carry.
fn read(url: &Secret, version: Version) -> Result<ServerUrl, String> {
    let server = ServerUrl::parse_without_path(url, &FORM)?;
    let password = server.password.as_ref().map_or("", Secret::expose);
    if server.user.is_empty() && server.password.is_some() && version == Version::Three {
        let text = "the password has no user, which only version 5 knows";
        return Err(format!("{text}; right is {}", FORM.example));
    }
    if server.user.contains('\0') {
        return Err(format!("the user holds a zero byte; right is {}", FORM.example));
    }
    if server.user.len().max(password.len()) > usize::from(u16::MAX) {
        return Err("the user or the password is longer than the protocol can carry; \
                    65,535 bytes are possible"
            .to_owned());
    }
    Ok(server)
}
