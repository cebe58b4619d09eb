//! The options of the `nats` kind, and how a check is made of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    NOT_AFTER, Schemes, ServerUrl, TlsClient, UNUSED_NOT_AFTER, UrlForm, WARN_BEFORE, tls_client,
};

use super::Nats;
use super::login::Login;
use super::tls::NatsTls;

/// Connects, logs in, and has a `PING` answered.
///
/// A server that has all the clients it takes fails the run with `overloaded`. One that enters lame
/// duck mode, to shed its clients before it stops, stops listening at once, so that a run fails with
/// `connection_refused`. The port for leaf nodes, routes or gateways is `protocol`, and is named.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsOptions {
    /// Where the server is: `nats://user:password@host:4222`, or `nats://token@host:4222`. Port and
    /// credentials may be left out; their special characters are percent-encoded. With `nats://`
    /// TLS is spoken where the server wants it, with `tls://` always.
    url: Secret,
    /// The seed of a user's key (NKey), such as `{ file = "user.nk" }`: it signs what the server
    /// sends, and is not sent itself.
    nkey_seed: Option<Secret>,
    /// A credentials file, with a user's JWT and seed: `{ file = "user.creds" }`.
    credentials: Option<Secret>,
    /// How to speak TLS; `false` for never. With `handshake_first = true` it is spoken before the
    /// server's greeting, as servers with that setting want it. Otherwise a server at a `tls://` URL
    /// that sends no greeting within a third of the timeout, or a second, is asked in this way, from
    /// then on at once.
    tls: Option<NatsTls>,
}

pub(super) const FORM: UrlForm = UrlForm {
    schemes: &[Schemes { plain: ("nats", 4222), secure: ("tls", 4222) }],
    example: "nats://user:password@host:4222",
};

impl KindOptions for NatsOptions {
    const NAME: &'static str = "nats";
    const SUMMARY: &'static str = "connect, log in, PING";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl NatsOptions {
    /// Makes the check of options that are right.
    pub(super) fn make(self) -> Result<Nats, Vec<OptionError>> {
        let mut errors = Vec::new();
        let server = ServerUrl::parse_without_path(&self.url, &FORM)
            .map_err(|text| errors.push(OptionError::new("url", text)));
        let url = server.as_ref().ok();
        let login = Login::new(url, self.nkey_seed.as_ref(), self.credentials.as_ref())
            .map_err(|error| errors.push(error));
        let handshake_first = self.tls.as_ref().is_some_and(|tls| tls.handshake_first);
        let tls = match (url.map(|server| server.secure), self.tls.map(|tls| tls.tls)) {
            // A server may want TLS whatever the scheme says.
            (Some(false), Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
            (Some(false), Some(Tls(None))) => Ok(None),
            // Where this system trusts nobody, only a server that wants TLS is out of reach.
            (Some(false), None) => Ok(TlsClient::new(&TlsOptions::default(), &[]).ok()),
            (_, options) => tls_client(url, options),
        };
        let tls = tls.map_err(|wrong| errors.extend(wrong));
        let (Ok(server), Ok(login), Ok(tls)) = (server, login, tls) else { return Err(errors) };
        Ok(Nats {
            redaction: login.redaction(),
            login,
            secure: server.secure,
            endpoint: server.endpoint,
            tls,
            handshake_first,
            is_silent: AtomicBool::new(false),
        })
    }
}
