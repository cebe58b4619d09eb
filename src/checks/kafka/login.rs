//! Logging in to a broker, by SASL within Kafka's own requests.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Secret;
use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net;
use crate::net::scram::{Hash, Scram, ScramError};

use super::codec::{self, Api, Handshake, SASL_AUTHENTICATE, SASL_HANDSHAKE, SaslResponse};
use super::{Connection, Kafka};

/// What a broker must know to let anybody log in.
pub(super) const APIS: [Api; 2] = [SASL_HANDSHAKE, SASL_AUTHENTICATE];

/// The error codes of the protocol that these requests have.
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;

/// How to log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaSasl")]
pub(super) enum Sasl {
    /// The password is sent as it is.
    #[default]
    Plain,
    /// The password is proved with SHA-256 and not sent.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The password is proved with SHA-512 and not sent.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Sasl {
    /// The name in the protocol.
    const fn mechanism(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Who logs in, and how.
pub(super) struct Login {
    pub(super) sasl: Sasl,
    pub(super) user: String,
    pub(super) password: Secret,
}

impl Kafka {
    pub(super) async fn log_in(
        &self,
        connection: &mut Connection<'_>,
        login: &Login,
    ) -> Result<(), Failure> {
        let mechanism = login.sasl.mechanism();
        connection.send(SASL_HANDSHAKE, &codec::sasl_handshake(mechanism)).await;
        let handshake = connection.receive(Handshake::read).await?;
        self.agreed(mechanism, &handshake)?;
        let hash = match login.sasl {
            Sasl::Plain => return self.plainly(connection, login).await,
            Sasl::ScramSha256 => Hash::Sha256,
            Sasl::ScramSha512 => Hash::Sha512,
        };
        let unproved = |error| self.unproved(&error);
        let mut scram = Scram::new(&login.user, &login.password, hash).map_err(unproved)?;
        let challenge = self.step(connection, &scram.first()).await?;
        let proof = scram.respond(&challenge).await.map_err(unproved)?;
        let last = self.step(connection, &proof).await?;
        scram.verify(&last).map_err(unproved)
    }

    fn agreed(&self, mechanism: &str, handshake: &Handshake) -> Result<(), Failure> {
        let what = match handshake.error {
            0 => return Ok(()),
            UNSUPPORTED_SASL_MECHANISM => {
                let offered = self.redaction.clean(&handshake.mechanisms.join(", "));
                format!("does not offer the login {mechanism}, but {}", net::brief(offered))
            }
            ILLEGAL_SASL_STATE => "takes no login on this port".to_owned(),
            code => format!("answered to the login {mechanism} with error {code}"),
        };
        Err(Failure::new(Reason::AuthFailed, format!("{} {what}", self.endpoint)))
    }

    /// RFC 4616: nobody to act as, then who logs in.
    async fn plainly(&self, connection: &mut Connection<'_>, login: &Login) -> Result<(), Failure> {
        let said = Secret::new(format!("\0{}\0{}", login.user, login.password.expose()));
        self.step(connection, said.expose()).await.map(|_| ())
    }

    /// Says `said` and hears what is answered.
    async fn step(&self, connection: &mut Connection<'_>, said: &str) -> Result<String, Failure> {
        connection.send(SASL_AUTHENTICATE, &codec::sasl_authenticate(said)).await;
        let SaslResponse { error, message, said } = connection.receive(SaslResponse::read).await?;
        if error == 0 {
            return Ok(said);
        }
        let message = net::brief(self.redaction.clean(&message));
        let text = format!("{} refused the login with error {error}: {message}", self.endpoint);
        Err(Failure::new(Reason::AuthFailed, text))
    }

    fn unproved(&self, error: &ScramError) -> Failure {
        let text = net::brief(self.redaction.clean(&error.to_string()));
        Failure::new(error.reason(), format!("logging in to {} failed: {text}", self.endpoint))
    }
}
