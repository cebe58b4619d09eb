//! The built-in check kinds, one file or folder each, and the list of them.

mod disk;
mod dns;
mod grpc;
mod http;
pub mod mysql;
pub mod postgres;
mod redis;
mod sql;
pub mod sqlite;
mod tcp;
mod tls;

use crate::config::Kind;

/// Every built-in kind, sorted by name.
pub const KINDS: &[Kind] = &[
    Kind::of::<disk::DiskOptions>(),
    Kind::of::<dns::DnsOptions>(),
    Kind::of::<grpc::GrpcOptions>(),
    Kind::of::<http::HttpOptions>(),
    Kind::of::<mysql::MysqlOptions>(),
    Kind::of::<postgres::PostgresOptions>(),
    Kind::of::<redis::RedisOptions>(),
    Kind::of::<sqlite::SqliteOptions>(),
    Kind::of::<tcp::TcpOptions>(),
    Kind::of::<tls::TlsOptions>(),
];
