//! A check over a connection of its own to a database server, and how its options are read.
//!
//! The driver's pool is not used: it retries a refused connection until its own timeout and then
//! reports no cause. One attempt under the run's deadline fails at once with the true cause.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::Connection;

use super::error::{connect_failure, failure};
use super::lag::{Lag, LagLimits};
use super::options::ExpectRows;
use super::tls::TlsChoice;
use super::{Dialect, Options, Question, Stage, Target, shielded};
use crate::config::{OptionError, Period, Redaction, Secret, Tls};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason, Server};
use crate::net::database::{ConnectError, Limits};

/// How much longer than the run the server may work on a configured query: our own deadline
/// comes first, and the server then frees what the query held.
const GRACE: Duration = Duration::from_millis(100);

/// A family of databases that is reached over a network.
pub(crate) trait Networked: Dialect {
    /// The servers that a URL names.
    type Servers: Send + Sync + 'static;

    /// Reads the option `url`.
    fn servers(url: &Secret, errors: &mut Vec<OptionError>) -> Option<Self::Servers>;

    /// Whether the URL says how TLS is used.
    fn sets_tls(servers: &Self::Servers) -> bool;

    /// The servers with TLS as the option `tls` asks for it.
    fn with_tls(servers: Self::Servers, tls: &TlsChoice) -> Self::Servers;

    /// The options of the server that is tried first, as `target` reads them.
    fn first(servers: &Self::Servers) -> &Options<Self>;

    /// `db.system.name`, as far as the URL tells it.
    fn system(servers: &Self::Servers) -> &'static str;

    /// What is worth a warning in the URL.
    fn warning(servers: &Self::Servers) -> Option<String>;

    /// Hides the password.
    fn redaction(servers: &Self::Servers) -> Redaction;

    /// Connects to the first server that gives a connection.
    fn connect(
        servers: &Self::Servers,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Self::Connection, ConnectError>>;

    /// Counts the rows of `question`. The server ends a configured query after `limit`, because
    /// it may not notice that nobody waits for the answer any more.
    fn ask<'c>(
        conn: &'c mut Self::Connection,
        question: &'c Question,
        limit: Duration,
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>>;

    /// Asks how far it lags, if it is a replica.
    fn lag(conn: &mut Self::Connection) -> BoxFuture<'_, Result<Option<Lag>, sqlx::Error>>;
}

/// The options that the kinds of database servers have in common, as they were written.
pub(crate) struct Written {
    pub(crate) url: Secret,
    pub(crate) query: Option<String>,
    pub(crate) expect: ExpectRows,
    /// The lag from which on a run is a warning, and the one from which on it fails.
    pub(crate) lag: (Option<Period>, Option<Period>),
    pub(crate) reuse: bool,
    pub(crate) tls: Option<Tls>,
}

/// Asks a database server over a connection of the check's own.
///
/// It has no `Debug`, for the connect options would show the password.
struct Client<D: Networked> {
    servers: D::Servers,
    target: Target,
    question: Question,
    limits: LagLimits,
    redaction: Redaction,
    kept: Kept<D>,
}

/// The check that `written` declares, or all that is wrong with it.
pub(crate) fn build<D: Networked>(written: Written) -> Result<Arc<dyn Check>, Vec<OptionError>> {
    let mut errors = Vec::new();
    let servers = D::servers(&written.url, &mut errors);
    let sets_tls = servers.as_ref().is_some_and(D::sets_tls);
    let tls = TlsChoice::read(written.tls, sets_tls, &mut errors);
    let question = Question::read::<D>(written.query, written.expect, &mut errors);
    let (warn, max) = written.lag;
    let limits = LagLimits::read(warn, max, &mut errors);
    let (Some(servers), []) = (servers, errors.as_slice()) else { return Err(errors) };
    let servers = D::with_tls(servers, &tls);
    Ok(Arc::new(Client::<D> {
        target: Target { system: D::system(&servers), ..D::target(D::first(&servers)) },
        redaction: D::redaction(&servers),
        servers,
        question,
        limits,
        kept: Kept::when(written.reuse),
    }))
}

/// What is worth a warning in `url`: parameters that are passed over.
pub(crate) fn warnings<D: Networked>(url: &Secret) -> Vec<OptionError> {
    let servers = D::servers(url, &mut Vec::new());
    let warning = servers.as_ref().and_then(D::warning);
    warning.map(|message| OptionError::new("url", message)).into_iter().collect()
}

/// What becomes of a connection after a run.
enum Kept<D: Dialect> {
    /// It is closed.
    Never,
    /// It waits for the next run; it is not in here while a run uses it, so that a cancelled run
    /// closes it.
    Between(Mutex<Option<D::Connection>>),
}

impl<D: Dialect> Kept<D> {
    /// Keeps connections when `reuse` was asked for.
    fn when(reuse: bool) -> Self {
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
        let statement = self.question.custom.then(|| cx.remaining() + GRACE);
        if let Some(mut conn) = self.kept.take() {
            // Half the time at most, so that a peer that vanished leaves enough for a fresh one.
            let ping = tokio::time::timeout(cx.remaining() / 2, shielded(conn.ping())).await;
            if matches!(ping, Ok(Ok(()))) {
                return Ok(conn);
            }
        }
        let limits = Limits { connect: cx.remaining(), statement };
        let attempt = async { Ok(D::connect(&self.servers, limits).await) };
        match shielded(attempt).await {
            Ok(connected) => {
                connected.map_err(|error| connect_failure::<D>(&self.redaction, cx, &error))
            }
            Err(error) => {
                let step = format!("connect to {}", self.target.place());
                Err(failure::<D>(&self.redaction, cx, Stage::Connect, step, &error))
            }
        }
    }

    async fn question(&self, cx: &Context, conn: &mut D::Connection) -> Result<Detail, Failure> {
        let failed =
            |step: &str, error| failure::<D>(&self.redaction, cx, Stage::Query, step, &error);
        let asked = shielded(D::ask(conn, &self.question, cx.remaining() + GRACE)).await;
        self.question.judge(asked.map_err(|error| failed("query", error))?)?;
        if !self.limits.wanted() {
            return Ok(Detail::ok());
        }
        let lag = shielded(D::lag(conn)).await;
        match lag.map_err(|error| failed("replication lag", error))? {
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
