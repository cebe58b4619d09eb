//! The built-in check kinds, one file each, and the list of them.

use crate::config::Kind;

pub mod mysql;
pub mod postgres;
pub mod sqlite;

mod sql;
mod sql_client;
mod sql_error;
mod sql_lag;
mod sql_pool;
mod sql_tls;
mod sql_url;

/// Every built-in kind, sorted by name.
pub const KINDS: &[Kind] = &[
    Kind::of::<mysql::MysqlOptions>(),
    Kind::of::<postgres::PostgresOptions>(),
    Kind::of::<sqlite::SqliteOptions>(),
];
