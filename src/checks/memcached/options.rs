//! The options of the `memcached` kind, and how a check is made of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{Endpoint, NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::Memcached;
use super::stats::{CONNECTIONS, MEMORY};

/// Asks a server for its version, and for its figures where it tells them.
///
/// It speaks the text protocol. A server that only takes SASL (`memcached -S`) knows the binary
/// one alone and leaves it without an answer. One that is full of clients or out of memory fails
/// the run with `overloaded`. How much of its memory is in use is no cause to fail: a cache evicts
/// and is meant to be full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemcachedOptions {
    /// Where the server is: `"cache:11211"`, `"127.0.0.1:11211"` or `"[::1]:11211"`.
    address: String,
    /// User name for a server that asks for one over the text protocol (`memcached -Y`), without
    /// white space; needs `password`. A server that asks for none makes the run a warning, and is
    /// not sent the credentials: it would store them as a value.
    username: Option<String>,
    /// The password, without white space; needs `username`.
    password: Option<Secret>,
    /// Speak TLS: `true`, or a table of options. Default `false`.
    #[serde(default)]
    tls: Tls,
}

impl KindOptions for MemcachedOptions {
    const NAME: &'static str = "memcached";
    const SUMMARY: &'static str = "version; memory and connections in use";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&MEMORY, &CONNECTIONS, &NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl MemcachedOptions {
    /// Makes the check of options that are right.
    pub(super) fn make(self) -> Result<Memcached, Vec<OptionError>> {
        let mut errors = Vec::new();
        let endpoint = Endpoint::parse(&self.address)
            .map_err(|error| errors.push(OptionError::new("address", error)));
        let login = self.login().map_err(|wrong| errors.extend(wrong));
        let tls = self.tls.0.map(|options| TlsClient::new(&options, &[])).transpose();
        let tls = tls.map_err(|wrong| errors.extend(wrong));
        let (Ok(endpoint), Ok(login), Ok(tls)) = (endpoint, login, tls) else {
            return Err(errors);
        };
        let redaction = Redaction::of(self.password.map(|password| password.expose().to_owned()));
        Ok(Memcached { endpoint, tls, login, redaction })
    }

    /// What logs in: by the text protocol's convention a `set` of any key, whose value is user
    /// name and password.
    fn login(&self) -> Result<Option<Secret>, Vec<OptionError>> {
        let (name, password) = match (&self.username, &self.password) {
            (None, None) => return Ok(None),
            (Some(name), Some(password)) => (name, password.expose()),
            (Some(_), None) => {
                let text = "a user needs a password; add `password`";
                return Err(vec![OptionError::new("username", text)]);
            }
            (None, Some(_)) => {
                let text = "a password needs a user; add `username`";
                return Err(vec![OptionError::new("password", text)]);
            }
        };
        let mut errors = Vec::new();
        for (option, text) in [("username", name.as_str()), ("password", password)] {
            if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                let text = "this is no single word; write one without white space";
                errors.push(OptionError::new(option, text));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let length = name.len() + 1 + password.len();
        Ok(Some(Secret::new(format!("set vitalsign 0 0 {length}\r\n{name} {password}\r\n"))))
    }
}
