//! The options of the `redis` kind, and how a check is built from them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{
    NOT_AFTER, OptionalQuestion, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE, tls_client,
};

use super::check::{RedisCheck, Target};
use super::connection::Login;
use super::info::{Expect, MEMORY, REPLICATION_LAG, Role};
use super::sentinel::Sentinels;
use super::url::{RedisUrl, Servers};

/// Sends a `PING`, then checks the server's role, replication link and memory.
///
/// The run fails with `not_serving` if the server is loading its data, if it is a replica that
/// refuses to serve stale data, or if it refuses writes after a failed save. A replica whose link
/// to its master is down makes the run a warning. If the server or a proxy does not answer `INFO`,
/// or not for this user, only `PING` counts, unless an option needs `INFO`.
///
/// `replication_lag_bytes` is the data that a replica has received but not applied, or that the
/// slowest replica of a master has not acknowledged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisOptions {
    /// Address of the server: `redis://user:password@host:6379/0`, or `rediss://` with TLS;
    /// `valkey://` and `valkeys://` mean the same. User, password, port and the number of the
    /// database are optional; special characters of a password must be percent-encoded. A Unix
    /// socket is `unix:///run/redis.sock?db=0`.
    ///
    /// `redis-sentinel://user:password@host1:26379,host2:26379/master-name/0` asks the sentinels
    /// for the master and then checks the master; user and password are those of the master.
    /// `redis-cluster://host1:6379,host2:6379` asks the first node that answers for the state of
    /// the cluster: a state other than `ok` fails the run with `not_serving`, and hash slots that
    /// are not served make it a warning. With TLS, both begin with `rediss-`.
    url: Secret,
    /// User name for the sentinels; needs `sentinel_password`.
    sentinel_username: Option<String>,
    /// Password for the sentinels, if they require one.
    sentinel_password: Option<Secret>,
    /// What the server must be.
    #[serde(default)]
    expect: ExpectOptions,
    /// Largest share of `maxmemory` that may be in use, above 0 and up to 1; above it the run fails
    /// with `out_of_range`. It has no effect on a server without `maxmemory`. Do not set it for a
    /// server that evicts keys, because that server is meant to be full.
    max_memory_ratio: Option<f64>,
    /// Options of TLS for a `rediss` URL.
    tls: Option<Tls>,
}

/// What the server must be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisExpect")]
struct ExpectOptions {
    /// Its role; another one fails the run with `unexpected_status`. Default: any.
    role: Option<Role>,
}

impl KindOptions for RedisOptions {
    const NAME: &'static str = "redis";
    const SUMMARY: &'static str = "PING; role, loading, replication link";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&MEMORY, &REPLICATION_LAG, &NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make().map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl RedisOptions {
    /// Builds the check.
    fn make(self) -> Result<RedisCheck, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url = RedisUrl::parse(&self.url)
            .map_err(|text| errors.push(OptionError::new("url", text)))
            .ok();
        if self.max_memory_ratio.is_some_and(|ratio| !(ratio > 0.0 && ratio <= 1.0)) {
            let text = "this is no share; write a number above 0 and up to 1, such as 0.9";
            errors.push(OptionError::new("max_memory_ratio", text));
        }
        if let Some(url) = &url {
            errors.extend(self.contradictions(&url.servers));
        }
        let is_socket = url.as_ref().is_some_and(|url| url.server_url.is_none());
        let server_url = url.as_ref().and_then(|url| url.server_url.as_ref());
        let tls = tls(is_socket, self.tls, |tls| tls_client(server_url, tls));
        let tls = tls.map_err(|wrong| errors.extend(wrong)).ok();
        let (Some(url), Some(tls), []) = (url, tls, errors.as_slice()) else {
            return Err(errors);
        };
        let sentinel_login = Login {
            user: self.sentinel_username.unwrap_or_default(),
            password: self.sentinel_password,
            database: 0,
        };
        let mut expect = Expect {
            role: self.expect.role,
            max_memory_ratio: self.max_memory_ratio,
            is_named_master: false,
        };
        let passwords = [&url.login, &sentinel_login].map(|login| login.password.clone());
        let redaction = |passwords: &[Option<Secret>]| {
            Redaction::of(passwords.iter().flatten().map(|secret| secret.expose().to_owned()))
        };
        let target = match url.servers {
            Servers::One(address) => Target::Server(address),
            Servers::Cluster(nodes) => Target::Cluster(nodes),
            Servers::Sentinels(addresses, master) => {
                expect.is_named_master = true;
                let (login, redaction) = (sentinel_login, redaction(&passwords));
                Target::Sentinels(Sentinels { addresses, master, login, redaction })
            }
        };
        Ok(RedisCheck {
            target,
            tls,
            redaction: redaction(&passwords),
            namespace: url.login.database.to_string(),
            login: url.login,
            expect,
            info: OptionalQuestion::default(),
        })
    }

    /// The options that do not fit the servers of the URL.
    fn contradictions(&self, servers: &Servers) -> Vec<OptionError> {
        let mut errors = Vec::new();
        let mut refuse = |option: &str, text: &str| errors.push(OptionError::new(option, text));
        match servers {
            Servers::Sentinels(..) if self.expect.role == Some(Role::Replica) => {
                let text = "sentinels name the master; write \"master\" or leave this out";
                refuse("expect.role", text);
            }
            Servers::Cluster(_) => {
                if self.expect.role.is_some() {
                    let text = "a cluster has masters and replicas; leave this out, or write a \
                                check for each node";
                    refuse("expect.role", text);
                }
                if self.max_memory_ratio.is_some() {
                    let text = "each node of a cluster has a memory of its own; leave this out, \
                                or write a check for each node";
                    refuse("max_memory_ratio", text);
                }
            }
            _ => {}
        }
        let credentials = [
            ("sentinel_username", self.sentinel_username.is_some()),
            ("sentinel_password", self.sentinel_password.is_some()),
        ];
        for (option, is_set) in credentials {
            if is_set && !matches!(servers, Servers::Sentinels(..)) {
                refuse(
                    option,
                    "the URL names no sentinels; write redis-sentinel:// or leave this out",
                );
            }
        }
        if self.sentinel_username.is_some() && self.sentinel_password.is_none() {
            refuse("sentinel_username", "a user needs a password; add `sentinel_password`");
        }
        errors
    }
}

/// The TLS client, by `of_url` where the URL has a host.
fn tls(
    is_socket: bool,
    options: Option<Tls>,
    of_url: impl FnOnce(Option<Tls>) -> Result<Option<TlsClient>, Vec<OptionError>>,
) -> Result<Option<TlsClient>, Vec<OptionError>> {
    match options {
        Some(Tls(Some(_))) if is_socket => {
            let text = "a Unix socket is used without TLS; leave this out";
            Err(vec![OptionError::new("tls", text)])
        }
        options => of_url(options),
    }
}
