//! A check over a connection of its own to a database server.
//!
//! The driver's pool is left out on purpose: it retries a refused connection until its own
//! timeout and then tells nothing of the cause, while one attempt under the run's deadline fails
//! at once with the true one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection};

use super::error::failure;
use super::lag::{Lag, LagLimits};
use super::{Dialect, Options, Question, Target, shielded};
use crate::config::Redaction;
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};

/// How much longer than the run the server may work on a configured query: our own deadline
/// comes first, and the server then frees what the query held.
const GRACE: Duration = Duration::from_millis(100);

/// A family of databases that is reached over a network.
pub(crate) trait Networked: Dialect {
    /// Counts the rows of `question`; a configured query is told to end by itself after `limit`,
    /// for a server may not notice that nobody waits for it.
    fn ask<'c>(
        conn: &'c mut Self::Connection,
        question: &'c Question,
        limit: Duration,
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>>;

    /// Asks how far it lags, if it is a replica.
    fn lag(conn: &mut Self::Connection) -> BoxFuture<'_, Result<Option<Lag>, sqlx::Error>>;
}

/// Asks a database server over a connection of the check's own.
///
/// It has no `Debug`, for the connect options would show the password.
pub(crate) struct Client<D: Networked> {
    pub(crate) options: Options<D>,
    pub(crate) target: Target,
    pub(crate) question: Question,
    pub(crate) limits: LagLimits,
    pub(crate) redaction: Redaction,
    pub(crate) kept: Kept<D>,
}

/// What becomes of a connection after a run.
pub(crate) enum Kept<D: Dialect> {
    /// It is closed.
    Never,
    /// It waits for the next run; it is not in here while a run uses it, so that a cancelled run
    /// closes it.
    Between(Mutex<Option<D::Connection>>),
}

impl<D: Dialect> Kept<D> {
    /// Keeps connections when `reuse` was asked for.
    pub(crate) fn when(reuse: bool) -> Self {
        if reuse { Self::Between(Mutex::new(None)) } else { Self::Never }
    }

    fn take(&self) -> Option<D::Connection> {
        match self {
            Self::Never => None,
            Self::Between(slot) => slot.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// Gives the connection back when none is kept.
    fn put(&self, conn: D::Connection) -> Option<D::Connection> {
        match self {
            Self::Never => Some(conn),
            Self::Between(slot) => {
                slot.lock().unwrap_or_else(PoisonError::into_inner).replace(conn)
            }
        }
    }
}

impl<D: Networked> Client<D> {
    /// A connection: the kept one if it still works, else a fresh one.
    async fn open(&self, cx: &Context) -> Result<D::Connection, Failure> {
        if let Some(mut conn) = self.kept.take() {
            // Half the time at most, so that a peer that vanished leaves enough for a fresh one.
            let ping = tokio::time::timeout(cx.remaining() / 2, shielded(conn.ping())).await;
            if matches!(ping, Ok(Ok(()))) {
                return Ok(conn);
            }
        }
        shielded(self.options.connect()).await.map_err(|error| {
            let step = format_args!("connect to {}", self.target.place());
            failure::<D>(&self.redaction, cx, step, &error)
        })
    }

    async fn question(&self, cx: &Context, conn: &mut D::Connection) -> Result<Detail, Failure> {
        let asked = shielded(D::ask(conn, &self.question, cx.remaining() + GRACE)).await;
        let rows = asked.map_err(|error| failure::<D>(&self.redaction, cx, "query", &error))?;
        self.question.judge(rows)?;
        if !self.limits.wanted() {
            return Ok(Detail::ok());
        }
        let lag = shielded(D::lag(conn)).await;
        match lag.map_err(|error| failure::<D>(&self.redaction, cx, "replication lag", &error))? {
            Some(lag) => self.limits.judge(&lag, cx),
            None => Ok(Detail::ok()),
        }
    }

    async fn call(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut conn = cx.phase(Phase::Connect, self.open(cx)).await?;
        let verdict = cx.phase(Phase::Request, self.question(cx, &mut conn)).await;
        if in_step(&verdict)
            && let Some(conn) = self.kept.put(conn)
        {
            // A farewell spares the server a line in its log; the verdict does not wait for it.
            let _ = tokio::time::timeout(cx.remaining() / 2, shielded(conn.close())).await;
        }
        verdict
    }
}

/// Whether both sides still agree on where in the protocol they are.
fn in_step(verdict: &Result<Detail, Failure>) -> bool {
    verdict.as_ref().map_or_else(
        |failure| {
            use Reason::{OutOfRange, QueryFailed, UnexpectedBody};
            matches!(failure.reason(), QueryFailed | UnexpectedBody | OutOfRange)
        },
        |_| true,
    )
}

#[async_trait]
impl<D: Networked> Check for Client<D> {
    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn server(&self) -> Option<Server> {
        self.target.server.clone()
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let name = self.target.span_name(&self.question);
        cx.client(&name, self.target.attributes(&self.question), self.call(cx)).await
    }
}
