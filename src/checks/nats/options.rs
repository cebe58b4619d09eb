//! The options of the `nats` kind, and how a check is built from them.

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

/// Connects to a server, logs in and sends a `PING`.
///
/// A server at its limit of clients fails the run with `overloaded`. A server in lame duck mode,
/// which lets its clients go before it stops, does not listen any more, so the run fails with
/// `connection_refused`. If the port is for leaf nodes, routes or gateways, the run fails with
/// `protocol` and the message says which it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsOptions {
    /// Address of the server: `nats://user:password@host:4222`, or `nats://token@host:4222`. Port
    /// and credentials are optional; special characters must be percent-encoded. `nats://` uses TLS
    /// if the server requires it, `tls://` always.
    url: Secret,
    /// The seed of a user's key (NKey), such as `{ file = "user.nk" }`. It signs the server's
    /// nonce, and is never sent.
    nkey_seed: Option<Secret>,
    /// A credentials file, with a user's JWT and seed: `{ file = "user.creds" }`.
    credentials: Option<Secret>,
    /// Options of TLS; `false` turns it off. With `handshake_first = true` TLS begins before the
    /// server's greeting, as servers with that setting require. Otherwise, if a server at a
    /// `tls://` URL sends no greeting within a third of the timeout, at most a second, TLS is tried
    /// first; later runs then start with TLS.
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
    /// Builds the check from valid options.
    pub(super) fn make(self) -> Result<Nats, Vec<OptionError>> {
        let mut errors = Vec::new();
        let server = ServerUrl::parse_without_path(&self.url, &FORM)
            .map_err(|text| errors.push(OptionError::new("url", text)));
        let url = server.as_ref().ok();
        let login = Login::new(url, self.nkey_seed.as_ref(), self.credentials.as_ref())
            .map_err(|error| errors.push(error));
        let handshake_first = self.tls.as_ref().is_some_and(|tls| tls.handshake_first);
        let tls = match (url.map(|server| server.secure), self.tls.map(|tls| tls.tls)) {
            // A server may require TLS with any scheme.
            (Some(false), Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
            (Some(false), Some(Tls(None))) => Ok(None),
            // If this system has no authorities, only servers that require TLS cannot be checked.
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
