//! MySQL and MariaDB: the `mysql` kind, and a check of the application's own pool.

mod dialect;
#[cfg(feature = "mysql")]
mod kind;

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
