//! Connects to a database server: reads its URL, and connects like the database's own clients.
//!
//! Input: a URL. Output: one connection, or an error. The checks of databases and the history's
//! store both use it, so that a URL means the same for both.
//!
//! # Several servers
//! A URL may name several servers. They are tried in order, one connection at a time, and each
//! gets an equal share of the time that is left. The error that is reported is the last one.

#[cfg(feature = "postgres")]
mod postgres;
mod url;

#[cfg(feature = "postgres")]
use std::time::Duration;

#[cfg(feature = "postgres")]
use crate::model::Server;

#[cfg(feature = "postgres")]
pub(crate) use postgres::PostgresServers;
pub(crate) use url::DatabaseUrl;
#[cfg(feature = "mysql")]
pub(crate) use url::Known;

/// How long connecting may take, and how long the server may work on one statement.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of all attempts together.
    pub(crate) connect: Duration,
    /// Requested from the server when the session starts; `None` keeps the server's setting.
    pub(crate) statement: Option<Duration>,
}

/// Why there is no connection.
#[cfg(feature = "postgres")]
#[derive(Debug)]
pub(crate) struct ConnectError {
    /// The server that was tried last.
    pub(crate) server: Server,
    /// What went wrong there.
    pub(crate) error: ServerError,
}

/// Why one server gave no connection.
#[cfg(feature = "postgres")]
#[derive(Debug)]
pub(crate) enum ServerError {
    /// The driver's error.
    Driver(sqlx::Error),
    /// It answered and is not of the kind that `target_session_attrs` asks for.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "PostgreSQL alone is asked"))]
    WrongSession(&'static str),
    /// It did not answer within its share of the time, and another one had to be tried.
    TimedOut,
}

#[cfg(feature = "postgres")]
impl From<sqlx::Error> for ServerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

/// Awaits one of several attempts: the last one is left to the caller's deadline.
#[cfg(feature = "postgres")]
async fn share<T>(
    left: Duration,
    attempts: usize,
    attempt: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    if attempts <= 1 {
        return attempt.await;
    }
    let within = tokio::time::timeout(left / attempts, attempt).await;
    within.unwrap_or(Err(ServerError::TimedOut))
}
