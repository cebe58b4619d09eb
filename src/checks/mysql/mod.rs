//! MySQL and MariaDB: the `mysql` kind, and a check of the application's own pool.

#[cfg(feature = "mysql")]
mod connection;
mod dialect;
#[cfg(feature = "mysql")]
mod error;
#[cfg(feature = "mysql")]
mod kind;
#[cfg(feature = "mysql")]
mod lag;
#[cfg(feature = "mysql")]
mod login;
#[cfg(feature = "mysql")]
mod method;
#[cfg(feature = "mysql")]
mod packet;
#[cfg(feature = "mysql")]
mod servers;
#[cfg(feature = "mysql")]
mod url;

use sqlx::MySqlPool;

use super::sql::pool::PoolCheck;
use crate::engine::check::Check;
#[cfg(doc)]
use crate::model::Reason;

#[cfg(feature = "mysql")]
pub(crate) use kind::MysqlOptions;

/// A check of the application's own pool: takes a connection, asks `SELECT 1`, and reports how
/// full the pool is.
///
/// A pool that is exhausted fails the run with [`Reason::Overloaded`].
#[must_use]
pub fn pool(pool: MySqlPool) -> impl Check {
    PoolCheck::new(pool)
}
