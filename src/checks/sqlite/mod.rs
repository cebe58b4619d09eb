//! SQLite: the `sqlite` kind, and a check of the application's own pool.

mod dialect;
#[cfg(feature = "sqlite")]
mod kind;

use sqlx::SqlitePool;

use super::sql::pool::PoolCheck;
use crate::engine::check::Check;
#[cfg(doc)]
use crate::model::Reason;

#[cfg(feature = "sqlite")]
pub(crate) use kind::SqliteOptions;

/// A check of the application's own pool: takes a connection, asks
/// `SELECT count(*) FROM sqlite_schema`, and reports how full the pool is.
///
/// A pool that is exhausted fails the run with [`Reason::Overloaded`].
#[must_use]
pub fn pool(pool: SqlitePool) -> impl Check {
    PoolCheck::new(pool)
}
