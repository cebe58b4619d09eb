//! The built-in check kinds, one file or folder each, and the list of them.

#[cfg(any(feature = "amqp", feature = "kafka", feature = "mqtt", feature = "nats"))]
mod broker;
mod disk;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use crate::config::Kind;
use crate::model::Measurement;

/// Every built-in kind, sorted by name.
pub const KINDS: &[Kind] = &[
    Kind::of::<disk::DiskOptions>(),
    #[cfg(feature = "dns")]
    Kind::of::<dns::DnsOptions>(),
    #[cfg(feature = "grpc")]
    Kind::of::<grpc::GrpcOptions>(),
    #[cfg(feature = "http")]
    Kind::of::<http::HttpOptions>(),
    #[cfg(feature = "mysql")]
    Kind::of::<mysql::MysqlOptions>(),
    #[cfg(feature = "nats")]
    Kind::of::<nats::NatsOptions>(),
    #[cfg(feature = "postgres")]
    Kind::of::<postgres::PostgresOptions>(),
    #[cfg(feature = "redis")]
    Kind::of::<redis::RedisOptions>(),
    #[cfg(feature = "sqlite")]
    Kind::of::<sqlite::SqliteOptions>(),
    #[cfg(feature = "tcp")]
    Kind::of::<tcp::TcpOptions>(),
    #[cfg(feature = "tls")]
    Kind::of::<tls::TlsOptions>(),
];

/// The figures of a check of the application's own connection pool, such as
/// [`postgres::pool`] makes it.
#[cfg(feature = "sql")]
pub const POOL_MEASUREMENTS: &[&Measurement] = sql::pool::MEASUREMENTS;
