//! PostgreSQL: the `postgres` kind, and a check of the application's own pool.

mod dialect;
#[cfg(feature = "postgres")]
mod kind;
#[cfg(feature = "postgres")]
mod lag;

use sqlx::PgPool;

use super::sql::pool::PoolCheck;
use crate::engine::check::Check;
#[cfg(doc)]
use crate::model::Reason;

#[cfg(feature = "postgres")]
pub(crate) use kind::PostgresOptions;

/// A check of the application's own pool: takes a connection, asks `SELECT 1`, and reports how
/// full the pool is.
///
/// A pool that is exhausted fails the run with [`Reason::Overloaded`].
///
/// ```
/// # fn main() -> Result<(), sqlx::Error> {
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # let _guard = runtime.enter();
/// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/orders")?;
/// let check = vitalsign::checks::postgres::pool(pool.clone());
/// # let _ = check;
/// # Ok(()) }
/// ```
#[must_use]
pub fn pool(pool: PgPool) -> impl Check {
    PoolCheck::new(pool)
}
