//! The options of the `smtp` kind, and how a check is built from them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{Endpoint, NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::check::{Login, SmtpCheck};
use super::mode::Mode;

/// Reads a mail server's greeting and sends `EHLO`, or `HELO` if the server refuses `EHLO`;
/// optionally starts TLS and logs in. It sends no mail.
///
/// A server that refuses the connection in its greeting, or answers 421 at any time, fails the run
/// with `not_serving`, or with `overloaded` if it reports too many connections. A server that
/// delays its greeting on purpose needs a longer `timeout`: Postfix' postscreen waits 6 s by
/// default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpOptions {
    /// Address of the server: `"mail:25"`, `"127.0.0.1:587"` or `"[::1]:465"`.
    address: String,
    /// `"plain"`, `"starttls"` or `"tls"`. Default `"plain"`.
    #[serde(default)]
    mode: Mode,
    /// Options of TLS for the modes `starttls` and `tls`.
    tls: Option<Tls>,
    /// The name sent with `EHLO`, such as `"checks.example"`, or an address such as
    /// `"[192.0.2.7]"`. Default: the address that the connection comes from (RFC 5321, section
    /// 4.1.4).
    ehlo: Option<String>,
    /// User name to log in as, by `AUTH PLAIN`; needs `password` and TLS.
    username: Option<String>,
    /// The password; needs `username`.
    password: Option<Secret>,
}

impl KindOptions for SmtpOptions {
    const NAME: &'static str = "smtp";
    const SUMMARY: &'static str = "greeting and EHLO; optionally STARTTLS and a login";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl SmtpOptions {
    /// Builds the check.
    fn make(self) -> Result<SmtpCheck, Vec<OptionError>> {
        let mut errors = Vec::new();
        let endpoint = Endpoint::parse(&self.address)
            .map_err(|error| errors.push(OptionError::new("address", error)));
        let tls = self.tls().map_err(|wrong| errors.extend(wrong));
        if self.ehlo.as_deref().is_some_and(|name| !is_name(name)) {
            let text = "this is no name; write one such as \"checks.example\", or an address such \
                        as \"[192.0.2.7]\"";
            errors.push(OptionError::new("ehlo", text));
        }
        let login = self.login().map_err(|wrong| errors.extend(wrong));
        let (Ok(endpoint), Ok(tls), Ok(login), []) = (endpoint, tls, login, errors.as_slice())
        else {
            return Err(errors);
        };
        let secrets = login.iter().flat_map(|login| [&login.password, &login.response]);
        let redaction = Redaction::of(secrets.map(|secret| secret.expose().to_owned()));
        Ok(SmtpCheck { endpoint, mode: self.mode, tls, ehlo: self.ehlo, login, redaction })
    }

    fn tls(&self) -> Result<Option<TlsClient>, Vec<OptionError>> {
        let wrong = |text| Err(vec![OptionError::new("tls", text)]);
        match (self.mode, &self.tls) {
            (Mode::Plain, Some(Tls(Some(_)))) => {
                wrong("nothing speaks TLS; write `mode = \"starttls\"` or `mode = \"tls\"`")
            }
            (Mode::Plain, _) => Ok(None),
            (_, Some(Tls(None))) => wrong("the mode speaks TLS; write `mode = \"plain\"`"),
            (_, Some(Tls(Some(options)))) => TlsClient::new(options, &[]).map(Some),
            (_, None) => TlsClient::new(&TlsOptions::default(), &[]).map(Some),
        }
    }

    fn login(&self) -> Result<Option<Login>, Vec<OptionError>> {
        let wrong = |option, text| Err(vec![OptionError::new(option, text)]);
        let (name, password) = match (&self.username, &self.password) {
            (None, None) => return Ok(None),
            (Some(name), Some(password)) => (name, password),
            (Some(_), None) => {
                return wrong("username", "a user needs a password; add `password`");
            }
            (None, Some(_)) => {
                return wrong("password", "a password needs a user; add `username`");
            }
        };
        if self.mode == Mode::Plain {
            let text = "credentials are sent over TLS alone; write `mode = \"starttls\"` or \
                        `mode = \"tls\"`";
            return wrong("username", text);
        }
        let mut errors = Vec::new();
        for (option, text) in [("username", name.as_str()), ("password", password.expose())] {
            if text.is_empty() || text.contains('\0') {
                let text = "it is empty or holds a NUL; AUTH PLAIN takes neither";
                errors.push(OptionError::new(option, text));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // RFC 4616: nobody to act as, then who logs in.
        let response = BASE64.encode(format!("\0{name}\0{}", password.expose()));
        Ok(Some(Login { password: password.clone(), response: Secret::new(response) }))
    }
}

/// Whether `text` may stand behind `EHLO`; RFC 5321, section 4.5.3.1.2, bounds its length.
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}
