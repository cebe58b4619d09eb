//! The check of a database server over its own connection, shared by `postgres` and `mysql`.
//!
//! A pool of connections is not used: a driver's pool retries a refused connection until its own
//! timeout and then reports no cause. One attempt under the run's deadline fails at once with the
//! true cause.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::lag::{Lag, LagLimits};
use super::options::ExpectRows;
use super::{Dialect, Question, Target};
use crate::config::{OptionError, Period, Secret, Tls};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};

/// How much longer than the run the server may work on a configured query: our own deadline
/// comes first, and the server then frees what the query held.
const GRACE: Duration = Duration::from_millis(100);

/// The servers that a URL names, and how they are asked.
pub(crate) trait DatabaseClient: Send + Sync + Sized + 'static {
    /// The family of databases.
    type Dialect: Dialect;

    /// A session with one of the servers.
    type Connection: Send + 'static;

    /// Reads the options `url` and `tls`.
    fn read(url: &Secret, tls: Option<Tls>, errors: &mut Vec<OptionError>) -> Option<Self>;

    /// Where the server is that is tried first.
    fn target(&self) -> Target;

    /// What is worth a warning in the URL.
    fn warning(&self) -> Option<String>;

    /// A connection to the first server that gives one. The server ends statements after
    /// `statement`, where it can be asked to at the start of a session.
    fn connect<'a>(
        &'a self,
        cx: &'a Context,
        statement: Option<Duration>,
    ) -> BoxFuture<'a, Result<Self::Connection, Failure>>;

    /// Whether a connection that was kept still works.
    fn is_alive<'c>(&'c self, conn: &'c mut Self::Connection) -> BoxFuture<'c, bool>;

    /// Counts the rows of `question`. The server ends a configured query after `limit`, because
    /// it may not notice that nobody waits for the answer any more.
    fn ask<'c>(
        &'c self,
        cx: &'c Context,
        conn: &'c mut Self::Connection,
        question: &'c Question,
        limit: Duration,
    ) -> BoxFuture<'c, Result<u64, Failure>>;

    /// Asks how far it lags, if it is a replica; `bound` is the lag that is to be told from less.
    fn lag<'c>(
        &'c self,
        cx: &'c Context,
        conn: &'c mut Self::Connection,
        bound: Duration,
    ) -> BoxFuture<'c, Result<Option<Lag>, Failure>>;

    /// Ends a session in order. A farewell spares the server a line in its log.
    fn close(&self, conn: Self::Connection) -> BoxFuture<'_, ()>;
}

/// The options that the kinds of database servers have in common, before validation.
pub(crate) struct SqlOptions {
    pub(crate) url: Secret,
    pub(crate) query: Option<String>,
    pub(crate) expect: ExpectRows,
    /// The lag from which on a run is a warning, and the one from which on it fails.
    pub(crate) lag: (Option<Period>, Option<Period>),
    pub(crate) reuse: bool,
    pub(crate) tls: Option<Tls>,
}

/// Asks a database server over a connection of the check's own.
struct DatabaseCheck<C: DatabaseClient> {
    client: C,
    target: Target,
    question: Question,
    limits: LagLimits,
    kept: ConnectionReuse<C::Connection>,
}

/// The check that `written` declares, or all that is wrong with it.
pub(crate) fn build<C: DatabaseClient>(
    written: SqlOptions,
) -> Result<Arc<dyn Check>, Vec<OptionError>> {
    let mut errors = Vec::new();
    let client = C::read(&written.url, written.tls, &mut errors);
    let question = Question::read::<C::Dialect>(written.query, written.expect, &mut errors);
    let (warn, max) = written.lag;
    let limits = LagLimits::read(warn, max, &mut errors);
    let (Some(client), []) = (client, errors.as_slice()) else { return Err(errors) };
    let (target, kept) = (client.target(), ConnectionReuse::when(written.reuse));
    Ok(Arc::new(DatabaseCheck { client, target, question, limits, kept }))
}

/// What is worth a warning in `url`: parameters that are passed over.
pub(crate) fn warnings<C: DatabaseClient>(url: &Secret) -> Vec<OptionError> {
    let client = C::read(url, None, &mut Vec::new());
    let warning = client.as_ref().and_then(C::warning);
    warning.map(|message| OptionError::new("url", message)).into_iter().collect()
}

/// What becomes of a connection after a run.
enum ConnectionReuse<T> {
    /// It is closed.
    Never,
    /// It waits for the next run; it is not in here while a run uses it, so that a cancelled run
    /// closes it.
    Between(Mutex<Option<T>>),
}

impl<T> ConnectionReuse<T> {
    /// Keeps connections when `reuse` was asked for.
    fn when(reuse: bool) -> Self {
        if reuse { Self::Between(Mutex::new(None)) } else { Self::Never }
    }

    fn take(&self) -> Option<T> {
        match self {
            Self::Never => None,
            Self::Between(slot) => slot.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// Gives the connection back when none is kept.
    fn put(&self, conn: T) -> Option<T> {
        match self {
            Self::Never => Some(conn),
            Self::Between(slot) => {
                slot.lock().unwrap_or_else(PoisonError::into_inner).replace(conn)
            }
        }
    }
}

impl<C: DatabaseClient> DatabaseCheck<C> {
    /// A connection: the kept one if it still works, else a fresh one.
    async fn open(&self, cx: &Context) -> Result<C::Connection, Failure> {
        if let Some(mut conn) = self.kept.take() {
            // Half the time at most, so that a peer that vanished leaves enough for a fresh one.
            let alive = tokio::time::timeout(cx.remaining() / 2, self.client.is_alive(&mut conn));
            if cx.phase(Phase::Connect, alive).await == Ok(true) {
                return Ok(conn);
            }
        }
        let statement = self.question.custom.then(|| cx.remaining() + GRACE);
        self.client.connect(cx, statement).await
    }

    async fn question(&self, cx: &Context, conn: &mut C::Connection) -> Result<Detail, Failure> {
        let rows = self.client.ask(cx, conn, &self.question, cx.remaining() + GRACE).await?;
        self.question.judge(rows)?;
        let Some(bound) = self.limits.smallest() else { return Ok(Detail::ok()) };
        match self.client.lag(cx, conn, bound).await? {
            Some(lag) => self.limits.judge(&lag, cx),
            None => Ok(Detail::ok()),
        }
    }

    async fn call(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut conn = self.open(cx).await?;
        let verdict = cx.phase(Phase::Request, self.question(cx, &mut conn)).await;
        if in_step(&verdict)
            && let Some(conn) = self.kept.put(conn)
        {
            // The verdict does not wait for it.
            let _ = tokio::time::timeout(cx.remaining() / 2, self.client.close(conn)).await;
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
impl<C: DatabaseClient> Check for DatabaseCheck<C> {
    fn kind(&self) -> &'static str {
        C::Dialect::KIND
    }

    fn server(&self) -> Option<Server> {
        self.target.server.clone()
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let name = self.target.span_name(&self.question);
        cx.client(&name, self.target.attributes(&self.question), self.call(cx)).await
    }
}
