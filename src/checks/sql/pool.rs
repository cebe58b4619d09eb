//! The check of an application's own pool: takes a connection, runs a query, and measures how full
//! the pool is.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{ConnectOptions, Connection, Pool};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::failure;
use super::{Dialect, Question, Stage, catch_driver_panic, count};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Phase, Reason, Redaction, Server};

static CONNECTIONS: Measurement =
    Measurement { name: "pool_connections", help: "Connections that the pool holds." };
static IDLE: Measurement =
    Measurement { name: "pool_idle_connections", help: "Connections of the pool that are free." };
static IN_USE: Measurement = Measurement {
    name: "pool_in_use_connections",
    help: "Connections of the pool that are lent out or being opened.",
};
static MAX: Measurement =
    Measurement { name: "pool_max_connections", help: "Connections that the pool may hold." };

/// The measurements of a pool.
pub(crate) const MEASUREMENTS: &[&Measurement] = &[&CONNECTIONS, &IDLE, &IN_USE, &MAX];

/// The check of a database through the application's own pool; a kind's `pool` builds it.
///
/// The run takes a connection as the application would and sends the kind's default query. If the
/// pool gives no connection, one direct connection finds out why.
pub(crate) struct PoolCheck<D: sqlx::Database>(Pool<D>);

impl<D: sqlx::Database> PoolCheck<D> {
    pub(crate) const fn new(pool: Pool<D>) -> Self {
        Self(pool)
    }
}

impl<D: sqlx::Database> fmt::Debug for PoolCheck<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolCheck").field(&self.0).finish()
    }
}

impl<D: Dialect> PoolCheck<D> {
    /// Records how full the pool is, and returns whether it is exhausted.
    fn measure(&self, cx: &Context) -> bool {
        let (size, max) = (self.0.size(), self.0.options().get_max_connections());
        let idle = u32::try_from(self.0.num_idle()).unwrap_or(u32::MAX).min(size);
        cx.measure(&CONNECTIONS, size.into());
        cx.measure(&IDLE, idle.into());
        cx.measure(&IN_USE, (size - idle).into());
        cx.measure(&MAX, max.into());
        size >= max && idle == 0
    }

    /// A connection of the pool, or why there is none.
    async fn acquire(&self, cx: &Context) -> Result<PoolConnection<D>, Failure> {
        let exhausted = self.measure(cx);
        let started = Instant::now();
        // The last quarter is for finding out why.
        match timeout(cx.remaining() / 4 * 3, catch_driver_panic(self.0.acquire())).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(sqlx::Error::PoolClosed)) => {
                Err(Failure::new(Reason::NotServing, "the application has closed its pool"))
            }
            Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => {
                Err(self.diagnose(cx, exhausted, started.elapsed()).await)
            }
            Ok(Err(error)) => {
                Err(failure::<D>(&Redaction::default(), cx, Stage::Connect, "connect", &error))
            }
        }
    }

    /// Distinguishes an exhausted pool from a server that accepts no connection.
    ///
    /// A server that does not answer also exhausts the pool of its clients, so the server is tested
    /// first.
    async fn diagnose(&self, cx: &Context, exhausted: bool, waited: Duration) -> Failure {
        let waited = waited.as_millis();
        let options = self.0.connect_options();
        let deadline = cx.deadline() - cx.remaining() / 4;
        let beside = timeout_at(deadline, catch_driver_panic(options.connect())).await;
        let max = self.0.options().get_max_connections();
        let pool = if exhausted {
            format!(
                "the pool is exhausted: all {max} connections are in use and none became free \
                 within {waited} ms"
            )
        } else {
            format!("the pool gave no connection within {waited} ms")
        };
        match beside {
            Ok(Err(error)) => {
                failure::<D>(&Redaction::default(), cx, Stage::Connect, "connect", &error)
            }
            Ok(Ok(conn)) => {
                let _ = timeout_at(deadline, catch_driver_panic(conn.close())).await;
                let reason = if exhausted { Reason::Overloaded } else { Reason::Timeout };
                Failure::new(reason, format!("{pool}; the server takes connections"))
            }
            Err(_) => {
                let text = "the server did not answer a new one in time either";
                Failure::new(Reason::Timeout, format!("{pool}; {text}"))
            }
        }
    }

    async fn call(&self, cx: &Context, question: &Question) -> Result<Detail, Failure> {
        let mut conn = cx.phase(Phase::Connect, self.acquire(cx)).await?;
        let asked = catch_driver_panic(count::<D>(&mut conn, question.sql.clone()));
        let rows = cx.phase(Phase::Request, asked).await;
        rows.map_err(|error| {
            failure::<D>(&Redaction::default(), cx, Stage::Query, "query", &error)
        })?;
        Ok(Detail::ok())
    }
}

#[async_trait]
impl<D: Dialect> Check for PoolCheck<D> {
    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn server(&self) -> Option<Server> {
        D::target(&self.0.connect_options()).server
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let target = D::target(&self.0.connect_options());
        let question = Question::default_of::<D>();
        let name = target.span_name(&question);
        cx.client(&name, target.attributes(&question), self.call(cx, &question)).await
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    #[tokio::test]
    async fn how_full_the_pool_is_goes_with_every_run() {
        let options = SqlitePoolOptions::new().max_connections(2);
        let pool = options.connect("sqlite::memory:").await.expect("a pool");
        let lent = pool.acquire().await.expect("a connection");
        let cx = Context::new(Instant::now() + Duration::from_secs(30), None);
        let verdict = PoolCheck::new(pool).run(&cx).await;
        assert_eq!(verdict, Ok(Detail::ok()));
        let figures: Vec<_> =
            cx.take_observed().measurements.iter().map(|(m, v)| (m.name, *v)).collect();
        let wanted = [
            ("pool_connections", 1.0),
            ("pool_idle_connections", 0.0),
            ("pool_in_use_connections", 1.0),
            ("pool_max_connections", 2.0),
        ];
        assert_eq!(figures, wanted);
        drop(lent);
    }
}
