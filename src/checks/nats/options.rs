//! The options of the `nats` kind, and how a check is made of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    NOT_AFTER, Schemes, ServerUrl, TlsClient, UNUSED_NOT_AFTER, UrlForm, WARN_BEFORE, tls_client,
};

use super::Nats;

/// Connects, logs in, and has a `PING` answered.
///
/// A server in lame duck mode, which sheds its clients before it stops, makes the run a warning; one
/// that has all the clients it takes fails it with `overloaded`. A user and password or a token
/// are sent; servers that know their clients by keys (NKeys, JWT) are not supported.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsOptions {
    /// Where the server is: `nats://user:password@host:4222`, or `nats://token@host:4222`. Port and
    /// credentials may be left out; their special characters are percent-encoded. With `nats://`
    /// TLS is spoken where the server wants it, with `tls://` always.
    url: Secret,
    /// How to speak TLS; `false` for never.
    tls: Option<Tls>,
}

const FORM: UrlForm = UrlForm {
    schemes: &[Schemes { plain: ("nats", 4222), secure: ("tls", 4222) }],
    example: "nats://user:password@host:4222",
};

impl KindOptions for NatsOptions {
    const NAME: &'static str = "nats";
    const SUMMARY: &'static str = "connect, PING; lame duck mode";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl NatsOptions {
    /// Makes the check of options that are right.
    pub(super) fn make(self) -> Result<Nats, Vec<OptionError>> {
        let server = ServerUrl::parse_without_path(&self.url, &FORM)
            .map_err(|text| vec![OptionError::new("url", text)]);
        let secure = server.as_ref().ok().map(|server| server.secure);
        let tls = match (secure, self.tls) {
            // A server may want TLS whatever the scheme says.
            (Some(false), Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
            (Some(false), Some(Tls(None))) => Ok(None),
            // Where this system trusts nobody, only a server that wants TLS is out of reach.
            (Some(false), None) => Ok(TlsClient::new(&TlsOptions::default(), &[]).ok()),
            (_, options) => tls_client(server.as_ref().ok(), options),
        };
        match (server, tls) {
            (Ok(server), Ok(tls)) => Ok(Nats {
                commands: commands(&server),
                redaction: redaction(&server),
                secure: server.secure,
                endpoint: server.endpoint,
                tls,
            }),
            (server, tls) => {
                Err([server.err(), tls.err()].into_iter().flatten().flatten().collect())
            }
        }
    }
}

/// All that is sent to a server that has said what it wants.
fn commands(server: &ServerUrl) -> Secret {
    let mut connect = json!({
        "verbose": false, "pedantic": false, "echo": false, "protocol": 1,
        "name": "vitalsign", "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
        "tls_required": server.secure,
    });
    match (server.user.as_str(), &server.password) {
        ("", None) => {}
        (token, None) => connect["auth_token"] = token.into(),
        (user, Some(password)) => {
            connect["user"] = user.into();
            connect["pass"] = password.expose().into();
        }
    }
    Secret::new(format!("CONNECT {connect}\r\nPING\r\n"))
}

/// Hides the password, or the token that stands where a user would.
fn redaction(server: &ServerUrl) -> Redaction {
    match &server.password {
        Some(_) => server.redaction(),
        None => Redaction::of([server.user.clone()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(url: &str) -> String {
        let server = ServerUrl::parse_without_path(&Secret::new(url), &FORM).expect(url);
        commands(&server).expose().to_owned()
    }

    #[test]
    fn what_is_sent_holds_the_credentials_as_json() {
        let user = sent("nats://app:p%22ss%0d@broker");
        assert!(user.contains(r#""pass":"p\"ss\r""#) && user.contains(r#""user":"app""#), "{user}");
        assert!(user.starts_with("CONNECT {") && user.ends_with("}\r\nPING\r\n"), "{user}");
        let token = sent("nats://t0ken@broker");
        assert!(token.contains(r#""auth_token":"t0ken""#) && !token.contains("user"), "{token}");
        let nobody = sent("tls://broker");
        assert!(!nobody.contains("auth_token") && nobody.contains(r#""tls_required":true"#));
    }
}
