//! Logs in to a broker with SASL inside Kafka's own requests.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Secret;
use crate::engine::check::Failure;
use crate::model::Reason;
use crate::net;
use crate::net::scram::{Hash, Scram, ScramError};

use super::codec::{self, Api, Handshake, SASL_AUTHENTICATE, SASL_HANDSHAKE, SaslResponse};
use super::{Connection, Kafka};

/// The requests that a broker must support for a login.
pub(super) const APIS: [Api; 2] = [SASL_HANDSHAKE, SASL_AUTHENTICATE];

/// The error codes of the protocol that these requests have.
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;

/// How to log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaSasl")]
pub(super) enum Sasl {
    /// The password is sent unencrypted by SASL; use TLS.
    #[default]
    Plain,
    /// The password is proved with SHA-256 and not sent.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The password is proved with SHA-512 and not sent.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// A token is sent instead of a user and a password (RFC 7628).
    #[serde(rename = "oauthbearer")]
    OauthBearer,
}

impl Sasl {
    /// The name in the protocol.
    const fn mechanism(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Who logs in, and how.
pub(super) struct Login {
    pub(super) sasl: Sasl,
    /// Empty with a token.
    pub(super) user: String,
    /// The password or the token.
    pub(super) secret: Secret,
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
            Sasl::Plain => return self.log_in_plain(connection, login).await,
            Sasl::OauthBearer => return self.log_in_by_token(connection, login).await,
            Sasl::ScramSha256 => Hash::Sha256,
            Sasl::ScramSha512 => Hash::Sha512,
        };
        let unproved = |error| self.unproved(&error);
        let mut scram = Scram::new(&login.user, &login.secret, hash).map_err(unproved)?;
        let challenge = self.step(connection, &scram.first()).await?;
        let proof = scram.respond(&challenge).await.map_err(unproved)?;
        let last = self.step(connection, &proof).await?;
        scram.verify(&last).map_err(unproved)
    }

    fn agreed(&self, mechanism: &str, handshake: &Handshake) -> Result<(), Failure> {
        let what = match handshake.error {
            0 => return Ok(()),
            UNSUPPORTED_SASL_MECHANISM
                if handshake.mechanisms.iter().any(|offered| offered == mechanism) =>
            {
                format!("refuses the login {mechanism}, although it offers it")
            }
            UNSUPPORTED_SASL_MECHANISM if handshake.mechanisms.is_empty() => {
                format!("does not offer the login {mechanism}")
            }
            UNSUPPORTED_SASL_MECHANISM => {
                let offered = self.redaction.clean(&handshake.mechanisms.join(", "));
                format!("does not offer the login {mechanism}, but {}", net::brief(offered))
            }
            ILLEGAL_SASL_STATE => "takes no login on this port".to_owned(),
            code => format!("answered to the login {mechanism} with error {code}"),
        };
        Err(Failure::new(Reason::AuthFailed, format!("{} {what}", self.endpoint)))
    }

    /// RFC 4616: an empty authorization identity, then user and password.
    async fn log_in_plain(
        &self,
        connection: &mut Connection<'_>,
        login: &Login,
    ) -> Result<(), Failure> {
        let message = Secret::new(format!("\0{}\0{}", login.user, login.secret.expose()));
        self.step(connection, message.expose()).await.map(|_| ())
    }

    /// RFC 7628: without channel binding and without a user, because the token identifies the user.
    async fn log_in_by_token(
        &self,
        connection: &mut Connection<'_>,
        login: &Login,
    ) -> Result<(), Failure> {
        let token = login.secret.expose();
        let message = Secret::new(format!("n,,\x01auth=Bearer {token}\x01\x01"));
        let answer = self.step(connection, message.expose()).await?;
        if answer.is_empty() {
            return Ok(());
        }
        // A refusal is an answer first, and an error once the client has acknowledged it.
        self.step(connection, "\x01").await?;
        Err(self.refused(&answer))
    }

    /// Sends a message of the login and returns the answer.
    async fn step(
        &self,
        connection: &mut Connection<'_>,
        message: &str,
    ) -> Result<String, Failure> {
        connection.send(SASL_AUTHENTICATE, &codec::sasl_authenticate(message)).await;
        let SaslResponse { error, message, answer } =
            connection.receive(SaslResponse::read).await?;
        if error == 0 {
            return Ok(answer);
        }
        Err(self.refused(&format!("error {error}: {message}")))
    }

    fn refused(&self, why: &str) -> Failure {
        let why = net::brief(self.redaction.clean(why));
        let text = format!("{} refused the login with {why}", self.endpoint);
        Failure::new(Reason::AuthFailed, text)
    }

    fn unproved(&self, error: &ScramError) -> Failure {
        let text = net::brief(self.redaction.clean(&error.to_string()));
        Failure::new(error.reason(), format!("logging in to {} failed: {text}", self.endpoint))
    }
}
