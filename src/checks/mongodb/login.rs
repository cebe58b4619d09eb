//! Logs in, by MongoDB's specification of authentication.
//!
//! # By password
//! SCRAM-SHA-256 or SCRAM-SHA-1. If the URL names neither, `hello` asks which of the two the user
//! has, and the stronger one is used; if the server does not answer that, SCRAM-SHA-1 is used.
//!
//! # By certificate
//! MONGODB-X509: the user is the subject of the client certificate that was sent in the TLS
//! handshake.

use md5::{Digest as _, Md5};

use crate::config::Secret;
use crate::engine::check::{Context, Failure};
use crate::net::scram::{Hash, Scram, ScramError};

use super::bson::{Document, Value, Writer};
use super::connection::Connection;
use super::reply::{Command, integer};

/// The database that knows the users of certificates.
const EXTERNAL: &str = "$external";

/// Who logs in.
#[derive(Debug, Clone)]
pub(super) enum Login {
    Password(PasswordLogin),
    /// The user whom the server finds in the certificate, or must find there.
    Certificate(Option<String>),
}

/// Who logs in by a password.
#[derive(Debug, Clone)]
pub(super) struct PasswordLogin {
    /// As it is: names are not prepared.
    pub(super) user: String,
    pub(super) password: Secret,
    /// Prepared by SASLprep, for SCRAM-SHA-256; `None` where that forbids a character.
    pub(super) prepared: Option<Secret>,
    /// The database that knows the user, where the URL names it.
    pub(super) source: Option<String>,
    /// The database that the URL leads to.
    pub(super) database: Option<String>,
    /// The mechanism, where the URL names one.
    pub(super) mechanism: Option<Mechanism>,
}

/// How the password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    ScramSha1,
    ScramSha256,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The mechanism for a user whom `hello` describes.
    fn negotiated(hello: &Document) -> Self {
        let offered = hello.texts("saslSupportedMechs").unwrap_or_default();
        let strong = offered.contains(&Self::ScramSha256.name());
        if strong { Self::ScramSha256 } else { Self::ScramSha1 }
    }
}

impl PasswordLogin {
    /// The database that knows the user; DNS may name one as `listed`.
    fn source<'a>(&'a self, listed: Option<&'a str>) -> &'a str {
        let named = self.source.as_deref().or(listed).or(self.database.as_deref());
        named.unwrap_or("admin")
    }

    /// What `hello` asks about the user; `None` where the URL names the mechanism.
    pub(super) fn question(&self, listed: Option<&str>) -> Option<String> {
        let unknown = self.mechanism.is_none();
        unknown.then(|| format!("{}.{}", self.source(listed), self.user))
    }

    /// What SCRAM takes for the password.
    fn proof(&self, mechanism: Mechanism) -> Result<(Secret, Hash), Failure> {
        match (mechanism, &self.prepared) {
            (Mechanism::ScramSha1, _) => {
                Ok((Secret::new(digest(&self.user, self.password.expose())), Hash::Sha1))
            }
            (Mechanism::ScramSha256, Some(prepared)) => Ok((prepared.clone(), Hash::Sha256)),
            (Mechanism::ScramSha256, None) => {
                let text = "the password holds a character that SASLprep (RFC 4013) forbids";
                Err(Failure::new(crate::model::Reason::AuthFailed, text))
            }
        }
    }
}

/// What servers store of a password for SCRAM-SHA-1.
fn digest(user: &str, password: &str) -> String {
    let digest = Md5::digest(format!("{user}:mongo:{password}"));
    let number = u128::from_be_bytes(digest.into());
    format!("{number:032x}")
}

/// Logs in by a password.
pub(super) async fn by_password(
    cx: &Context,
    connection: &mut Connection<'_>,
    login: &PasswordLogin,
    listed: Option<&str>,
    hello: &Document,
) -> Result<(), Failure> {
    let mechanism = login.mechanism.unwrap_or_else(|| Mechanism::negotiated(hello));
    let (password, hash) = login.proof(mechanism)?;
    let source = login.source(listed);
    let mut scram =
        Scram::new(&login.user, &password, hash).map_err(|error| not_proved(connection, &error))?;
    let start = Writer::command(Command::SaslStart.name())
        .text("mechanism", mechanism.name())
        .binary("payload", scram.first().as_bytes())
        // Else a server may want an empty message at the end.
        .document("options", Writer::new().flag("skipEmptyExchange", true))
        .text("$db", source);
    let reply = connection.command(cx, Command::SaslStart, start).await?;
    let conversation = reply.number("conversationId").and_then(integer);
    let conversation = conversation.ok_or_else(|| connection.unexpected())?;
    let proof = scram.respond(payload(connection, &reply)?).await;
    let proof = proof.map_err(|error| not_proved(connection, &error))?;
    let go_on = |payload: &[u8]| {
        Writer::command(Command::SaslContinue.name())
            .int32("conversationId", conversation)
            .binary("payload", payload)
            .text("$db", source)
    };
    let reply = connection.command(cx, Command::SaslContinue, go_on(proof.as_bytes())).await?;
    let verified = scram.verify(payload(connection, &reply)?);
    verified.map_err(|error| not_proved(connection, &error))?;
    if reply.says("done") {
        return Ok(());
    }
    let reply = connection.command(cx, Command::SaslContinue, go_on(b"")).await?;
    if reply.says("done") { Ok(()) } else { Err(connection.unexpected()) }
}

/// Logs in by the certificate that TLS has shown.
pub(super) async fn by_certificate(
    cx: &Context,
    connection: &mut Connection<'_>,
    user: Option<&str>,
) -> Result<(), Failure> {
    let mut body = Writer::command(Command::Authenticate.name()).text("mechanism", "MONGODB-X509");
    if let Some(user) = user {
        body = body.text("user", user);
    }
    let body = body.text("$db", EXTERNAL);
    connection.command(cx, Command::Authenticate, body).await.map(drop)
}

/// What a server says by SCRAM.
fn payload<'a>(connection: &Connection<'_>, reply: &'a Document) -> Result<&'a str, Failure> {
    let text = match reply.get("payload") {
        Some(Value::Binary(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    text.ok_or_else(|| connection.unexpected())
}

fn not_proved(connection: &Connection<'_>, error: &ScramError) -> Failure {
    let text = connection.clean(&error.to_string());
    let text = format!("logging in to {} failed: {text}", connection.endpoint);
    Failure::new(error.reason(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(source: Option<&str>, database: Option<&str>) -> PasswordLogin {
        PasswordLogin {
            user: "app".to_owned(),
            password: Secret::new("pencil"),
            prepared: None,
            source: source.map(str::to_owned),
            database: database.map(str::to_owned),
            mechanism: None,
        }
    }

    #[test]
    fn the_users_database_is_the_first_that_anybody_names() {
        for (source, listed, database, wanted) in [
            (Some("users"), Some("dns"), Some("orders"), "users"),
            (None, Some("dns"), Some("orders"), "dns"),
            (None, None, Some("orders"), "orders"),
            (None, None, None, "admin"),
        ] {
            let login = login(source, database);
            assert_eq!(login.source(listed), wanted);
            assert_eq!(login.question(listed), Some(format!("{wanted}.app")));
        }
    }

    #[test]
    fn the_stronger_mechanism_is_taken_and_silence_means_the_older() {
        let hello = |fields: Writer| Document::parse(fields.finish()).expect("a document");
        let list = |names: &[&str]| {
            let keys = ["0", "1"];
            let texts =
                names.iter().zip(keys).fold(Writer::new(), |w, (name, key)| w.text(key, name));
            hello(Writer::new().array("saslSupportedMechs", texts))
        };
        for (hello, wanted) in [
            (list(&["SCRAM-SHA-1", "SCRAM-SHA-256"]), Mechanism::ScramSha256),
            (list(&["SCRAM-SHA-1"]), Mechanism::ScramSha1),
            (list(&[]), Mechanism::ScramSha1),
            (hello(Writer::new()), Mechanism::ScramSha1),
        ] {
            assert_eq!(Mechanism::negotiated(&hello), wanted);
        }
    }

    /// As MongoDB's Python driver computes it.
    #[test]
    fn the_older_mechanism_proves_a_digest() {
        assert_eq!(digest("user", "pencil"), "1c33006ec1ffd90f9cadcbcc0e118200");
    }
}
