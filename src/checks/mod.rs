//! The built-in check kinds, one file or folder each, and the list of them.

#[cfg(feature = "amqp")]
mod amqp;
#[cfg(any(feature = "amqp", feature = "kafka", feature = "mqtt", feature = "nats"))]
mod broker;
#[cfg(feature = "config")]
mod command;
#[cfg(feature = "config")]
mod disk;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "config")]
mod file;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "config")]
mod heartbeat;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "icmp")]
mod icmp;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "config")]
mod local;
#[cfg(feature = "memcached")]
mod memcached;
#[cfg(feature = "config")]
mod memory;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "mysql-pool")]
pub mod mysql;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres-pool")]
pub mod postgres;
#[cfg(any(feature = "redis", feature = "redis-client"))]
pub mod redis;
#[cfg(feature = "reqwest-client")]
pub mod reqwest;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "sql-pool")]
pub(crate) mod sql;
#[cfg(feature = "sqlite-pool")]
pub mod sqlite;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "vitalsign")]
mod vitalsign;
#[cfg(feature = "websocket")]
mod websocket;

#[cfg(feature = "config")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "config")]
use serde::Serialize;

#[cfg(feature = "config")]
use crate::config::{Kind, OptionError, UnknownKind};
#[cfg(feature = "config")]
use crate::engine::check::Check;
use crate::engine::check::{Heartbeat, Manual};
#[cfg(feature = "sql-pool")]
use crate::model::Measurement;

/// Every built-in kind, sorted by name.
#[cfg(feature = "config")]
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "amqp")]
    Kind::of::<amqp::AmqpOptions>(),
    Kind::of::<command::CommandOptions>(),
    Kind::of::<disk::DiskOptions>(),
    #[cfg(feature = "dns")]
    Kind::of::<dns::DnsOptions>(),
    Kind::of::<file::FileOptions>(),
    #[cfg(feature = "grpc")]
    Kind::of::<grpc::GrpcOptions>(),
    Kind::of::<heartbeat::HeartbeatOptions>(),
    #[cfg(feature = "http")]
    Kind::of::<http::HttpOptions>(),
    #[cfg(feature = "icmp")]
    Kind::of::<icmp::IcmpOptions>(),
    #[cfg(feature = "kafka")]
    Kind::of::<kafka::KafkaOptions>(),
    #[cfg(feature = "memcached")]
    Kind::of::<memcached::MemcachedOptions>(),
    Kind::of::<memory::MemoryOptions>(),
    #[cfg(feature = "mongodb")]
    Kind::of::<mongodb::MongodbOptions>(),
    #[cfg(feature = "mqtt")]
    Kind::of::<mqtt::MqttOptions>(),
    #[cfg(feature = "mysql")]
    Kind::of::<mysql::MysqlOptions>(),
    #[cfg(feature = "nats")]
    Kind::of::<nats::NatsOptions>(),
    #[cfg(feature = "postgres")]
    Kind::of::<postgres::PostgresOptions>(),
    #[cfg(feature = "redis")]
    Kind::of::<redis::RedisOptions>(),
    #[cfg(feature = "smtp")]
    Kind::of::<smtp::SmtpOptions>(),
    #[cfg(feature = "sqlite")]
    Kind::of::<sqlite::SqliteOptions>(),
    #[cfg(feature = "tcp")]
    Kind::of::<tcp::TcpOptions>(),
    #[cfg(feature = "tls")]
    Kind::of::<tls::TlsOptions>(),
    #[cfg(feature = "vitalsign")]
    Kind::of::<vitalsign::VitalsignOptions>(),
    #[cfg(feature = "websocket")]
    Kind::of::<websocket::WebsocketOptions>(),
];

/// A check that waits for heartbeats, and fails when the last one is older than `grace`;
/// `POST /heartbeat/{check}` requires `token`.
#[must_use]
pub fn heartbeat(grace: Duration, token: &str) -> Heartbeat {
    Heartbeat::new(grace, token)
}

/// A check whose status the host sets by the handle that this returns: `up()`, `degraded(text)` and
/// `down(reason, text)` take effect at once, and count as no runs.
///
/// For what only the host knows: caches that are being warmed, migrations, leadership. Until it is set
/// it is as a check before its first run, so that `/ready` says `starting`. See [`Manual`].
#[must_use]
pub fn manual() -> Manual {
    Manual::new()
}

/// The measurements of a check of the application's own connection pool, such as
/// [`postgres::pool`].
#[cfg(feature = "sql-pool")]
pub const POOL_MEASUREMENTS: &[&Measurement] = sql::pool::MEASUREMENTS;

/// A check of a built-in kind, from the options that its table in a configuration file would have.
///
/// A kind is available if the cargo feature of its name is on. Relative paths start from the
/// working directory, and `${NAME}` in strings is not replaced.
///
/// ```
/// # use std::time::Duration;
/// use serde_json::json;
/// use vitalsign::{checks, every};
///
/// let root = checks::of("disk", json!({ "path": "/", "min_free": "5%" }))?;
/// let root = every(Duration::from_secs(30)).check(root);
/// # let _ = root;
/// # Ok::<(), checks::KindError>(())
/// ```
///
/// # Errors
/// A [`KindError`] with everything that is wrong; it contains no secret.
#[cfg(feature = "config")]
pub fn of(kind: &str, options: impl Serialize) -> Result<Arc<dyn Check>, KindError> {
    let Some(found) = KINDS.iter().find(|known| known.name == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(UnknownKind::new(kind, &known).into());
    };
    let wrong = |errors| KindError::Options { kind: found.name, errors };
    let options = toml::Value::try_from(options).ok().filter(toml::Value::is_table);
    let table = "they are no table; write one, such as `json!({ … })`, without null";
    let options = options.ok_or_else(|| wrong(vec![OptionError::new("", table)]))?;
    let build = (found.read)(options).map_err(|error| wrong(vec![error]))?;
    build().map_err(wrong)
}

/// Why [`of`] cannot build the check.
#[cfg(feature = "config")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// The kind does not exist, or its feature is off.
    #[error("{0}; each is there with the cargo feature of its name")]
    Unknown(#[from] UnknownKind),
    /// The options are wrong.
    #[error("options of kind `{kind}`: {}", listed(errors))]
    Options {
        /// The kind.
        kind: &'static str,
        /// All that is wrong with them.
        errors: Vec<OptionError>,
    },
}

#[cfg(feature = "config")]
fn listed(errors: &[OptionError]) -> String {
    let line = |error: &OptionError| match error.path.as_str() {
        "" => error.message.clone(),
        path => format!("{path}: {}", error.message),
    };
    errors.iter().map(line).collect::<Vec<_>>().join(" | ")
}

#[cfg(feature = "config")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(kind: &str, options: serde_json::Value) -> String {
        of(kind, options).err().expect("it is refused").to_string()
    }

    #[test]
    fn a_check_is_made_of_the_options_of_its_kind() {
        let check = of("disk", json!({ "path": "/" })).expect("a check");
        assert_eq!(check.kind(), "disk");
    }

    #[test]
    fn what_is_wrong_with_options_says_where_and_what_is_right() {
        let text = refused("dsik", json!({}));
        assert!(text.starts_with("unknown kind `dsik`; did you mean `disk`?"), "{text}");
        let text = refused("disk", json!({ "path": "/", "min_free": "many" }));
        assert!(text.starts_with("options of kind `disk`: min_free: "), "{text}");
        for options in [json!(null), json!("/"), json!({ "path": null })] {
            let text = refused("disk", options);
            assert!(text.starts_with("options of kind `disk`: they are no table"), "{text}");
        }
    }
}
