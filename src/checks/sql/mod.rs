//! Shared by the SQL kinds: runs the query and judges its result.
//!
//! Input: an open connection and a [`Question`]. Output: the judgement of the returned rows. Rows
//! are counted as they arrive and dropped at once, never collected.

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) mod client;
pub(super) mod error;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) mod lag;
#[cfg(feature = "sql")]
pub(super) mod options;
pub(super) mod pool;
#[cfg(feature = "postgres")]
pub(super) mod tls;

use std::panic::AssertUnwindSafe;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;
use sqlx::{Connection, Either};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

#[cfg(feature = "sql")]
use crate::engine::check::Failure;
use crate::model::{Reason, Server};

pub(crate) use error::{of_io, of_tls};

/// Rows read at most; a health check that returns more is reading a table.
pub(crate) const MAX_ROWS: u64 = 10_000;

/// What was being done when a server refused: the same code means one thing at the login and
/// another at a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The connection and the login.
    Connect,
    /// A statement.
    Query,
}

/// One family of databases, as the shared code sees it.
pub(crate) trait Dialect: sqlx::Database {
    /// The kind's name.
    const KIND: &'static str;
    /// The query asked unless another is configured.
    const QUERY: &'static str;

    /// What a server's own error stands for.
    fn reason(error: &dyn sqlx::error::DatabaseError, stage: Stage) -> Reason;

    /// Why the server could not serve, when an error of a statement says so; `None` for one that is
    /// an answer, such as a violated constraint.
    fn unserved(error: &dyn sqlx::error::DatabaseError) -> Option<Reason>;

    /// The code of a server's own error, as `db.response.status_code` shows it.
    fn code(error: &dyn sqlx::error::DatabaseError) -> Option<String> {
        error.code().map(std::borrow::Cow::into_owned)
    }

    /// Where connections with these options go.
    fn target(options: &Options<Self>) -> Target;

    /// Sends `sql` as it is, without preparing it, so that poolers in between do not mind.
    fn rows(conn: &mut Self::Connection, sql: String) -> Rows<'_, Self>;
}

/// Rows and ends of statements, as they arrive.
pub(crate) type Rows<'c, D> = BoxStream<
    'c,
    Result<Either<<D as sqlx::Database>::QueryResult, <D as sqlx::Database>::Row>, sqlx::Error>,
>;

/// Connect options of a family of databases.
pub(crate) type Options<D> = <<D as sqlx::Database>::Connection as Connection>::Options;

/// Where a database is, for spans and messages; never with a password.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `db.system.name`.
    pub(crate) system: &'static str,
    /// `db.namespace`: the database's name.
    pub(crate) namespace: Option<String>,
    /// Host and port, or the path of a socket.
    pub(crate) server: Option<Server>,
}

impl Target {
    /// Host and port for people.
    pub(crate) fn place(&self) -> String {
        match &self.server {
            Some(server) => server.place(),
            None => self.namespace.clone().unwrap_or_else(|| self.system.to_owned()),
        }
    }

    /// The CLIENT span's name: `{db.operation.name} {target}`, or as much of it as is known.
    pub(crate) fn span_name(&self, question: &Question) -> String {
        let target = self.namespace.clone().unwrap_or_else(|| self.place());
        match question.operation() {
            Some(operation) => format!("{operation} {target}"),
            None => target,
        }
    }

    /// The CLIENT span's attributes.
    pub(crate) fn attributes(&self, question: &Question) -> Vec<KeyValue> {
        let mut all = vec![KeyValue::new(semconv::DB_SYSTEM_NAME, self.system)];
        if let Some(namespace) = &self.namespace {
            all.push(KeyValue::new(semconv::DB_NAMESPACE, namespace.clone()));
        }
        if let Some(operation) = question.operation() {
            all.push(KeyValue::new(semconv::DB_OPERATION_NAME, operation));
            all.push(KeyValue::new(semconv::DB_QUERY_TEXT, question.sql.clone()));
        }
        if let Some(Server { address, port }) = &self.server {
            all.push(KeyValue::new(semconv::SERVER_ADDRESS, address.clone()));
            all.extend(port.map(|port| KeyValue::new(semconv::SERVER_PORT, i64::from(port))));
        }
        all
    }
}

/// The query of a check, and the number of rows it must return.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) sql: String,
    /// Whether the query came from the configuration: it may be slow, and may hold literals that
    /// no span should show.
    pub(crate) custom: bool,
    #[cfg_attr(not(feature = "sql"), allow(dead_code, reason = "a pool's rows are not counted"))]
    rows: Option<u64>,
}

impl Question {
    /// The default question of `D`.
    pub(crate) fn default_of<D: Dialect>() -> Self {
        Self { sql: D::QUERY.to_owned(), custom: false, rows: None }
    }

    /// `db.operation.name`, known for the default query alone.
    fn operation(&self) -> Option<&'static str> {
        (!self.custom).then_some("SELECT")
    }

    /// Judges the number of rows that came back.
    #[cfg(feature = "sql")]
    pub(crate) fn judge(&self, rows: u64) -> Result<(), Failure> {
        if rows > MAX_ROWS {
            let message = format!("the query returned more than {MAX_ROWS} rows");
            return Err(Failure::new(Reason::TooLarge, message).answered());
        }
        match self.rows {
            Some(wanted) if wanted != rows => {
                let message = format!("the query returned {rows} rows instead of {wanted}");
                Err(Failure::new(Reason::UnexpectedBody, message).answered())
            }
            _ => Ok(()),
        }
    }
}

/// Counts the rows of `sql`, and stops one past the bound.
pub(crate) async fn count<D: Dialect>(
    conn: &mut D::Connection,
    sql: String,
) -> Result<u64, sqlx::Error> {
    let mut stream = D::rows(conn, sql);
    let mut rows = 0;
    while let Some(item) = stream.next().await {
        if matches!(item?, Either::Right(_)) {
            rows += 1;
            if rows > MAX_ROWS {
                break;
            }
        }
    }
    Ok(rows)
}

/// Runs a step of the driver, protected against its panics and without a span.
///
/// A panic counts as an answer that the driver could not read, because it slices some packets
/// without checking their length. It gets no span, because its SQLite thread would keep our span
/// after the end of the run.
pub(crate) async fn catch_driver_panic<T>(
    step: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let step = AssertUnwindSafe(step).catch_unwind().with_subscriber(Dispatch::none());
    step.await.unwrap_or_else(|_| {
        Err(sqlx::Error::Protocol("an answer of a shape that the protocol does not have".into()))
    })
}
