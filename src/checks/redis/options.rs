//! The options of the `redis` kind, and how a check is made of them.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::checks::replication::REPLICATION_LAG;
use crate::config::{KindOptions, OptionError, Redaction, Secret, Tls, TlsOptions};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::{Endpoint, NOT_AFTER, TlsClient, UNUSED_NOT_AFTER, WARN_BEFORE};

use super::info::{Expect, MEMORY};
use super::kind::Redis;
use super::resp::command;

/// A `PING`; then what the server tells of its role, its replication link and its memory.
///
/// A server that is loading its data, a replica that serves no stale data, and one that takes no
/// writes for a failed save fail the run with `not_serving`. A replica whose link to its master
/// is down makes it a warning. A server that does not let this user ask `INFO` is judged by
/// `PING` alone, unless an option needs it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisOptions {
    /// Where the server is: `redis://user:password@host:6379/0`, or `rediss://` with TLS. User,
    /// password, port and the number of the database may be left out; special characters of a
    /// password are percent-encoded.
    url: Secret,
    /// What the server must be.
    #[serde(default)]
    expect: ExpectOptions,
    /// Largest share of `maxmemory` that may be in use, above 0 and up to 1; above it the run
    /// fails with `out_of_range`. Without effect on a server that has no `maxmemory`. One that
    /// evicts keys is meant to be full.
    max_memory_ratio: Option<f64>,
    /// How to speak TLS to a `rediss` URL.
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

/// What a server is in replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RedisRole")]
pub(super) enum Role {
    /// It takes writes.
    Master,
    /// It follows a master.
    Replica,
}

impl Role {
    /// The role as `INFO` tells it.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "slave",
        }
    }

    /// The role as the configuration has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }

    /// A role that `INFO` told, for people.
    pub(super) fn shown(told: &str) -> &'static str {
        match told {
            "master" => "master",
            "slave" => "replica",
            _ => "server of another role",
        }
    }
}

/// The port without one in the URL.
const PORT: u16 = 6379;

const FORM: &str = "redis://user:password@host:6379/0";

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
    /// Makes the check of options that are right.
    pub(super) fn make(self) -> Result<Redis, Vec<OptionError>> {
        let mut errors = Vec::new();
        let location =
            Location::read(&self.url).map_err(|text| errors.push(OptionError::new("url", text)));
        if self.max_memory_ratio.is_some_and(|ratio| !(ratio > 0.0 && ratio <= 1.0)) {
            let text = "this is no share; write a number above 0 and up to 1, such as 0.9";
            errors.push(OptionError::new("max_memory_ratio", text));
        }
        let secure = location.as_ref().ok().map(|location| location.secure);
        let tls = match (secure, self.tls) {
            (Some(false), Some(Tls(Some(_)))) => {
                let text = "a redis URL is asked without TLS; write rediss:// or leave this out";
                Err(vec![OptionError::new("tls", text)])
            }
            (Some(true), Some(Tls(None))) => {
                let text = "a rediss URL is asked with TLS; write redis:// or leave this out";
                Err(vec![OptionError::new("tls", text)])
            }
            (Some(true), None) => TlsClient::new(&TlsOptions::default(), &[]).map(Some),
            // Of a URL that is wrong itself, the options are read for what is wrong with them.
            (_, Some(Tls(Some(options)))) => TlsClient::new(&options, &[]).map(Some),
            _ => Ok(None),
        };
        let tls = tls.map_err(|wrong| errors.extend(wrong));
        let (Ok(location), Ok(tls), []) = (location, tls, errors.as_slice()) else {
            return Err(errors);
        };
        Ok(Redis {
            commands: location.commands(),
            redaction: location.redaction(),
            namespace: location.database.to_string(),
            authenticates: location.password.is_some(),
            selects: location.database != 0,
            endpoint: location.endpoint,
            expect: Expect { role: self.expect.role, max_memory_ratio: self.max_memory_ratio },
            tls,
        })
    }
}

/// What a URL says.
struct Location {
    endpoint: Endpoint,
    secure: bool,
    user: String,
    password: Option<String>,
    database: u32,
}

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what would be right; never any of the URL, for where a password holds an
    /// unescaped `@` or `/`, any part may be a piece of it.
    fn read(url: &Secret) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; right is {FORM}");
        let encoding = "with special characters of the password percent-encoded";
        let url =
            Url::parse(url.expose()).map_err(|_| format!("{}, {encoding}", wrong("not a URL")))?;
        let secure = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("not a URL of this kind")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it holds a ? or #, after which nothing is known"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("the host is missing"))?;
        let endpoint = Endpoint::parse(&format!("{host}:{}", url.port().unwrap_or(PORT)))
            .map_err(|_| wrong("its host or port is none"))?;
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from).map_err(|_| wrong("what is percent-encoded is no UTF-8"))
        };
        let user = decoded(url.username())?;
        let password = url.password().map(decoded).transpose()?;
        if !user.is_empty() && password.is_none() {
            return Err(wrong("the user has no password"));
        }
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| wrong("the database is no number"))?,
        };
        Ok(Self { endpoint, secure, user, password, database })
    }

    /// All that is asked, in one go.
    fn commands(&self) -> Secret {
        let mut words = Vec::new();
        if let Some(password) = &self.password {
            words.push(match self.user.as_str() {
                "" => command(&["AUTH", password]),
                user => command(&["AUTH", user, password]),
            });
        }
        if self.database != 0 {
            words.push(command(&["SELECT", &self.database.to_string()]));
        }
        words.push(command(&["PING"]));
        words.push(command(&["INFO", "replication"]));
        words.push(command(&["INFO", "memory"]));
        Secret::new(words.concat())
    }

    fn redaction(&self) -> Redaction {
        Redaction::of(self.password.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Location, String> {
        Location::read(&Secret::new(url))
    }

    #[test]
    fn a_url_may_leave_out_all_but_the_host() {
        let short = read("redis://cache").expect("a URL");
        assert_eq!(short.endpoint.to_string(), "cache:6379");
        assert!(!short.secure && short.password.is_none() && short.database == 0);
        let long = read("rediss://app:p%40ss@[::1]:7000/15").expect("a URL");
        assert_eq!(long.endpoint.to_string(), "[::1]:7000");
        assert!(long.secure && long.database == 15);
        assert_eq!((long.user.as_str(), long.password.as_deref()), ("app", Some("p@ss")));
        let asked = long.commands();
        let first =
            "*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$4\r\np@ss\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n15\r\n";
        assert!(asked.expose().starts_with(first), "{}", asked.expose());
        let alone = read("redis://:p@127.0.0.1").expect("a URL").commands();
        assert!(alone.expose().starts_with("*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n*1\r\n$4\r\nPING\r\n"));
    }

    #[test]
    fn a_wrong_url_is_told_without_any_of_it() {
        for (url, what) in [
            (":hunter2@cache", "not a URL;"),
            ("redis://:hunter2@cache:port", "not a URL;"),
            ("http://:hunter2@cache", "not a URL of this kind"),
            ("redis://:hunter2@cache/0?db=1", "it holds a ?"),
            ("redis:///hunter2", "the host is missing"),
            ("redis:hunter2", "the host is missing"),
            ("redis://:hunter2@cache:0", "its host or port"),
            ("redis://hunter2@cache", "the user has no password"),
            ("redis://:%FFhunter2@cache", "what is percent-encoded"),
            ("redis://cache/hunter2", "the database is no number"),
        ] {
            let error = read(url).err().expect(url);
            assert!(error.starts_with(what), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
