//! The options of the `mongodb` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::check::MongodbCheck;
use super::login::Login;
use super::reply::Role;
use super::url::MongodbUrl;

/// Sends `hello` to one server, logs in if the URL has a user, and sends a `ping`.
///
/// It uses OP_MSG, so it works with MongoDB 3.6 and later, and with `mongos`. A member of a replica
/// set that is neither primary nor secondary nor arbiter, such as a recovering one, fails the run
/// with `not_serving`; so does a server that shuts down. Logins use SCRAM-SHA-256, SCRAM-SHA-1 or
/// the certificate in `tls` (MONGODB-X509).
///
/// It was tested against scripted peers that follow MongoDB's public specifications, and whose
/// replies MongoDB's own Python driver encodes and accepts. It was not tested against MongoDB
/// itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MongodbOptions {
    /// Address of the server: `mongodb://user:password@host:27017/?authSource=admin&tls=true`, with
    /// one host. User, password, port and options are optional; special characters of a password
    /// must be percent-encoded. The options `appName`, `authMechanism`, `authSource`,
    /// `directConnection`, `replicaSet` (a server of another set fails the run with
    /// `unexpected_status`), `srvServiceName` and `tls` have the same meaning as in a driver. Those
    /// of pools, timeouts, compression, reads and writes have no effect, and any other is refused.
    ///
    /// `mongodb+srv://user:password@name/` tries the servers that DNS lists for a name, one after
    /// the other, until one meets `expect`; TLS is on unless the URL has `tls=false`.
    url: Secret,
    /// Expectations of the server.
    #[serde(default)]
    expect: ExpectOptions,
    /// Options of TLS; `true` or a table of options turns it on, like `tls=true` in the URL.
    tls: Option<Tls>,
}

/// Expectations of a server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MongodbExpect")]
struct ExpectOptions {
    /// Its role; another one fails the run with `unexpected_status`. Default `"any"`.
    #[serde(default)]
    role: Role,
}

impl KindOptions for MongodbOptions {
    const NAME: &'static str = "mongodb";
    const SUMMARY: &'static str = "hello and ping; role in the replica set";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl MongodbOptions {
    /// Builds the check.
    fn make(self) -> Result<MongodbCheck, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url =
            MongodbUrl::parse(&self.url).map_err(|text| errors.push(OptionError::new("url", text)));
        let by_url = url.as_ref().ok().and_then(|url| url.tls);
        let by_certificate =
            url.as_ref().is_ok_and(|url| matches!(url.login, Some(Login::Certificate(_))));
        let has_certificate =
            matches!(&self.tls, Some(Tls(Some(TlsOptions { cert: Some(_), key: Some(_), .. }))));
        if by_certificate && !has_certificate {
            let text = "MONGODB-X509 logs in by a certificate; write \
                        tls = { cert = \"client.pem\", key = \"client.key\" }";
            errors.push(OptionError::new("tls", text));
        }
        let tls = tls(by_url, self.tls).map_err(|wrong| errors.extend(wrong));
        let (Ok(url), Ok(tls), []) = (url, tls, errors.as_slice()) else {
            return Err(errors);
        };
        let secrets = match &url.login {
            Some(Login::Password(login)) => {
                [Some(&login.password), login.prepared.as_ref()].map(Option::<&Secret>::cloned)
            }
            _ => [None, None],
        };
        let secrets = secrets.into_iter().flatten().map(|secret| secret.expose().to_owned());
        Ok(MongodbCheck {
            servers: url.servers,
            tls,
            redaction: Redaction::of(secrets),
            login: url.login,
            set: url.set,
            app: url.app,
            role: self.expect.role,
        })
    }
}

/// TLS as configured by the URL and the option.
fn tls(by_url: Option<bool>, option: Option<Tls>) -> Result<Option<TlsClient>, Vec<OptionError>> {
    let wrong = |text| Err(vec![OptionError::new("tls", text)]);
    match (by_url, option) {
        (Some(false), Some(Tls(Some(_)))) => {
            wrong("the URL says tls=false; write tls=true or leave this out")
        }
        (Some(true), Some(Tls(None))) => {
            wrong("the URL says tls=true; write tls=false or leave this out")
        }
        (_, Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
        (Some(true), None) => TlsClient::new(&TlsOptions::default(), &[]).map(Some),
        _ => Ok(None),
    }
}
