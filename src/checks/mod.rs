//! The built-in check kinds, one file or folder each, and the list of them.

mod command;
mod disk;
#[cfg(feature = "dns")]
mod dns;
mod file;
#[cfg(feature = "grpc")]
mod grpc;
mod heartbeat;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "icmp")]
mod icmp;
mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
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
#[cfg(feature = "vitalsign")]
mod vitalsign;

use std::time::Duration;

use crate::check::Heartbeat;
use crate::config::Kind;
use crate::model::Measurement;

/// Every built-in kind, sorted by name.
pub const KINDS: &[Kind] = &[
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
    Kind::of::<memory::MemoryOptions>(),
    #[cfg(feature = "mysql")]
    Kind::of::<mysql::MysqlOptions>(),
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
    #[cfg(feature = "vitalsign")]
    Kind::of::<vitalsign::VitalsignOptions>(),
];

/// A check that is told instead of asking, and fails after a silence longer than `grace`; `token`
/// gives the right to tell it by `POST /heartbeat/{check}`.
#[must_use]
pub fn heartbeat(grace: Duration, token: &str) -> Heartbeat {
    Heartbeat::new(grace, token)
}

/// The figures of a check of the application's own connection pool, such as
/// [`postgres::pool`] makes it.
#[cfg(feature = "sql")]
pub const POOL_MEASUREMENTS: &[&Measurement] = sql::pool::MEASUREMENTS;
