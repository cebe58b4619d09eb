//! The built-in check kinds, one file or folder each, and the list of them.

mod disk;
mod dns;
mod http;
pub mod mysql;
pub mod postgres;
mod sql;
mod sql_client;
mod sql_error;
mod sql_lag;
mod sql_pool;
mod sql_tls;
mod sql_url;
pub mod sqlite;
mod tcp;
mod tls;

use crate::config::{Kind, OptionError};

/// Every built-in kind, sorted by name.
pub const KINDS: &[Kind] = &[
    Kind::of::<disk::DiskOptions>(),
    Kind::of::<dns::DnsOptions>(),
    Kind::of::<http::HttpOptions>(),
    Kind::of::<mysql::MysqlOptions>(),
    Kind::of::<postgres::PostgresOptions>(),
    Kind::of::<sqlite::SqliteOptions>(),
    Kind::of::<tcp::TcpOptions>(),
    Kind::of::<tls::TlsOptions>(),
];

/// What is wrong with the regular expression at `path`, on one line.
fn bad_regex(path: &str, error: &regex::Error) -> OptionError {
    let text = error.to_string();
    // A syntax error draws the expression first; its last line says what is wrong.
    let what = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    OptionError::new(path, format!("{what}; write a regular expression of the regex crate"))
}
