//! The options of the `memcached` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    Endpoint, NOT_AFTER, OptionalQuestion, ServerAddress, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE,
};

use super::check::MemcachedCheck;
use super::stats::{CONNECTIONS, MEMORY};

/// Requests the version of a server, and its statistics.
///
/// It speaks the text protocol. A server that only accepts SASL (`memcached -S`) knows only the
/// binary protocol and does not answer. A server that has reached its limit of clients or is out of
/// memory fails the run with `overloaded`. A server or proxy that answers with its version but
/// without statistics is up. The memory in use never fails a run: a cache evicts and is meant to be
/// full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemcachedOptions {
    /// Address of the server: `"cache:11211"`, `"127.0.0.1:11211"`, `"[::1]:11211"`, or the path of
    /// a Unix socket, `"unix:///run/memcached.sock"`.
    address: String,
    /// User name for a server that requires one in the text protocol (`memcached -Y`), without
    /// white space; needs `password`. If the server requires none, the run is a warning, and the
    /// credentials are not sent, because the server would store them as a value.
    username: Option<String>,
    /// The password, without white space; needs `username`.
    password: Option<Secret>,
    /// Use TLS: `true`, or a table of options. Default `false`.
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
    /// Builds the check.
    fn make(self) -> Result<MemcachedCheck, Vec<OptionError>> {
        let mut errors = Vec::new();
        let address =
            address(&self.address).map_err(|error| errors.push(OptionError::new("address", error)));
        let login = self.login().map_err(|wrong| errors.extend(wrong));
        if let (Ok(ServerAddress::Unix(_)), Some(_)) = (&address, &self.tls.0) {
            let text = "a Unix socket is used without TLS; leave this out";
            errors.push(OptionError::new("tls", text));
        }
        let tls = self.tls.0.map(|options| TlsClient::new(&options, &[])).transpose();
        let tls = tls.map_err(|wrong| errors.extend(wrong));
        let (Ok(address), Ok(login), Ok(tls), []) = (address, login, tls, errors.as_slice()) else {
            return Err(errors);
        };
        let redaction = Redaction::of(self.password.map(|password| password.expose().to_owned()));
        let stats = OptionalQuestion::default();
        Ok(MemcachedCheck { address, tls, login, redaction, stats })
    }

    /// The login command: in the text protocol a `set` of any key with user name and password as
    /// its value.
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

/// Reads `host:port`, or the path of a socket with or without `unix://`.
fn address(text: &str) -> Result<ServerAddress, String> {
    let path = text.strip_prefix("unix://").or_else(|| text.starts_with('/').then_some(text));
    match path {
        Some(path) => ServerAddress::unix(path)
            .map_err(|what| format!("{what}; write \"unix:///run/memcached.sock\"")),
        None => Endpoint::parse(text).map(ServerAddress::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_socket() {
        for (text, shown) in [
            ("cache:11211", "cache:11211"),
            ("unix:///run/memcached.sock", "/run/memcached.sock"),
            ("/run/memcached.sock", "/run/memcached.sock"),
        ] {
            assert_eq!(address(text).expect(text).to_string(), shown);
        }
        let wrong = address("unix://memcached.sock").expect_err("a relative path");
        assert!(wrong.starts_with("the path of the socket is not absolute; write "), "{wrong}");
        let wrong = address("redis://cache:1").expect_err("a URL");
        assert!(wrong.starts_with("this is a URL, not an address; write "), "{wrong}");
    }
}
