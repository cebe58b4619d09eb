//! The options of the `mongodb` kind, and how a check is made of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::Mongodb;
use super::url::Location;

/// Asks one server what it is, by `hello`, logs in where the URL has a user, and has a `ping`
/// answered.
///
/// It speaks OP_MSG and knows `hello`, so it asks MongoDB 4.4 and later, and `mongos`. A member of
/// a replica set that is neither primary nor secondary nor arbiter, such as one that recovers,
/// fails the run with `not_serving`; so does one that shuts down. Logins are by SCRAM-SHA-256
/// alone.
///
/// It was tested against peers that follow MongoDB's public specifications and that its own
/// Python driver encodes for and takes for servers, not against MongoDB itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MongodbOptions {
    /// Where the server is: `mongodb://user:password@host:27017/?authSource=admin&tls=true`, with
    /// one host. User, password, port and options may be left out; special characters of a
    /// password are percent-encoded. The options `appName`, `authMechanism`, `authSource`,
    /// `directConnection`, `replicaSet` (a server of another set fails the run with
    /// `unexpected_status`) and `tls` mean what they do to a driver. Those of pools, timeouts,
    /// compression, reads and writes have no effect, and any other is refused.
    url: Secret,
    /// What the server must be.
    #[serde(default)]
    expect: ExpectOptions,
    /// How to speak TLS; `true` or a table of options turns it on as `tls=true` in the URL does.
    tls: Option<Tls>,
}

/// What a server must be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MongodbExpect")]
struct ExpectOptions {
    /// Its role; another one fails the run with `unexpected_status`. Default `"any"`.
    #[serde(default)]
    role: Role,
}

/// What a server must be in replication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MongodbRole")]
pub(super) enum Role {
    /// Primary, secondary or arbiter of its replica set, a member of none, or a `mongos`.
    #[default]
    Any,
    /// It takes writes: a primary, a `mongos` or a member of no replica set.
    Primary,
    /// It follows a primary.
    Secondary,
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
    /// Makes the check of options that are right.
    pub(super) fn make(self) -> Result<Mongodb, Vec<OptionError>> {
        let mut errors = Vec::new();
        let location =
            Location::read(&self.url).map_err(|text| errors.push(OptionError::new("url", text)));
        let by_url = location.as_ref().ok().and_then(|location| location.tls);
        let tls = tls(by_url, self.tls).map_err(|wrong| errors.extend(wrong));
        let (Ok(location), Ok(tls), []) = (location, tls, errors.as_slice()) else {
            return Err(errors);
        };
        let password = location.login.as_ref().map(|login| login.password.expose().to_owned());
        Ok(Mongodb {
            endpoint: location.endpoint,
            tls,
            redaction: Redaction::of(password),
            login: location.login,
            set: location.set,
            app: location.app,
            role: self.expect.role,
        })
    }
}

/// TLS as the URL and the option ask for it.
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
