//! The `mysql` kind: connects to MySQL or MariaDB, runs one query, and checks the replication lag
//! of a replica.
//!
//! A replica may follow several sources: MariaDB calls them connections and MySQL channels. The lag
//! of each is read, with the newest statement that the server knows, and the worst one counts.
//!
//! The protocol is spoken here, and by no driver: MySQL blocks a host whose connections end before
//! the login, which takes care of every way in which a run may fail. The application's own pool is
//! that of the driver sqlx. SQL has no field for a trace context, so none is sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use sqlx::MySql;
use tokio::time::timeout;

use super::connection::Connection;
use super::error::Trouble;
use super::servers::Servers;
use super::{lag, login};
use crate::checks::sql::client::{DatabaseClient, SqlOptions, build, warnings};
use crate::checks::sql::lag::{Lag, REPLICATION_LAG};
use crate::checks::sql::options::ExpectRows;
use crate::checks::sql::{MAX_ROWS, Question, Target};
use crate::config::{KindOptions, OptionError, Period, Redaction, Secret, Tls};
use crate::engine::check::{Check, Context, Failure};
use crate::model::{Measurement, Reason};
use crate::net::{NOT_AFTER, UNUSED_NOT_AFTER, WARN_BEFORE};

/// Connects to MySQL or MariaDB and runs a query; optionally checks the number of rows and the lag
/// of a replica.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MysqlOptions {
    /// Address of the database: `mysql://user:password@host:3306/database` or `mariadb://…`, or
    /// with a socket `mysql://user:password@localhost/database?socket=/run/mysqld/mysqld.sock`.
    ///
    /// Its `ssl-mode` is `disabled`, `preferred`, `required`, `verify_ca` or `verify_identity`;
    /// without one and without `tls` it is `preferred`: TLS if the server offers it, with any
    /// certificate. Several hosts with commas between them are tried in order. Parameters of other
    /// programs are passed over, with a warning. Logins by mysql_native_password, MariaDB's ed25519,
    /// caching_sha2_password and sha256_password are known; the last two take TLS or a socket, unless
    /// the server has seen the password lately. With `ssl-ca` and without `ssl-mode` it is `verify_ca`.
    url: Secret,
    /// The query, sent as it is written. Default `"SELECT 1"`. The server ends it soon after the
    /// check's timeout, if it supports that.
    query: Option<String>,
    /// Expectations of the result.
    #[serde(default)]
    expect: ExpectRows,
    /// A replica with a larger lag makes the run a warning. A duration such as `"5s"`. It is
    /// checked only on a replica, for each connection or channel to a source; needs the privilege
    /// `REPLICATION CLIENT`, or MariaDB's `REPLICA MONITOR`.
    warn_replication_lag: Option<Period>,
    /// A replica with a larger lag, or that has stopped replicating, fails the run with
    /// `out_of_range`.
    max_replication_lag: Option<Period>,
    /// Keep the connection between runs, and open a new one only if it broke. Default false: every
    /// run connects, like a new client.
    #[serde(default)]
    reuse: bool,
    /// TLS with the certificate verified, as `ssl-mode=verify_identity`; `false` is none. Not
    /// together with `ssl-mode` in the URL. A socket is used without TLS.
    tls: Option<Tls>,
}

impl KindOptions for MysqlOptions {
    const NAME: &'static str = "mysql";
    const SUMMARY: &'static str = "connect to MySQL or MariaDB, ask a query, watch replication lag";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&REPLICATION_LAG, &NOT_AFTER, &WARN_BEFORE, &UNUSED_NOT_AFTER];

    fn warnings(&self) -> Vec<OptionError> {
        warnings::<MysqlClient>(&self.url)
    }

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { url, query, expect, warn_replication_lag, max_replication_lag, reuse, tls } =
            self;
        let lag = (warn_replication_lag, max_replication_lag);
        build::<MysqlClient>(SqlOptions { url, query, expect, lag, reuse, tls })
    }
}

/// Asks the servers of a URL over connections of the check's own.
struct MysqlClient {
    servers: Servers,
    redaction: Redaction,
}

impl MysqlClient {
    fn failed(&self, cx: &Context, step: &str, trouble: Trouble) -> Failure {
        trouble.failure(&self.redaction, cx, step)
    }

    /// Tries each server for its share of the time.
    async fn open(&self, cx: &Context) -> Result<Connection, Failure> {
        let servers = &self.servers.servers;
        let mut failed = None;
        for (number, server) in servers.iter().enumerate() {
            let attempt = login::connect(cx, server);
            let left = u32::try_from(servers.len() - number).unwrap_or(u32::MAX);
            let result = if left == 1 {
                attempt.await
            } else {
                timeout(cx.remaining() / left, attempt).await.unwrap_or_else(|_| {
                    let text = "no answer within its share of the time";
                    Err(Failure::new(Reason::Timeout, text).into())
                })
            };
            match result {
                Ok(conn) => return Ok(conn),
                Err(trouble) => {
                    let step = format!("connect to {}", server.address);
                    failed = Some(self.failed(cx, &step, trouble));
                }
            }
        }
        Err(failed.unwrap_or_else(|| Failure::new(Reason::Other, "the URL names no server")))
    }
}

impl DatabaseClient for MysqlClient {
    type Dialect = MySql;
    type Connection = Connection;

    fn read(url: &Secret, tls: Option<Tls>, errors: &mut Vec<OptionError>) -> Option<Self> {
        let servers = Servers::read(url, tls, errors)?;
        Some(Self { redaction: servers.redaction(), servers })
    }

    fn target(&self) -> Target {
        let server = self.servers.first();
        Target {
            system: if self.servers.is_mariadb() { "mariadb" } else { "mysql" },
            namespace: server.database.clone(),
            server: Some(server.address.server()),
        }
    }

    fn warning(&self) -> Option<String> {
        self.servers.url.warning()
    }

    fn connect<'a>(
        &'a self,
        cx: &'a Context,
        _: Option<Duration>,
    ) -> BoxFuture<'a, Result<Connection, Failure>> {
        self.open(cx).boxed()
    }

    fn is_alive<'c>(&'c self, conn: &'c mut Connection) -> BoxFuture<'c, bool> {
        conn.ping().map(|answer| answer.is_ok()).boxed()
    }

    fn ask<'c>(
        &'c self,
        cx: &'c Context,
        conn: &'c mut Connection,
        question: &'c Question,
        limit: Duration,
    ) -> BoxFuture<'c, Result<u64, Failure>> {
        let asked = async move {
            if question.custom {
                limit_statements(conn, limit).await?;
            }
            conn.count(&question.sql, MAX_ROWS).await
        };
        asked.map(|rows| rows.map_err(|trouble| self.failed(cx, "query", trouble))).boxed()
    }

    fn lag<'c>(
        &'c self,
        cx: &'c Context,
        conn: &'c mut Connection,
        _: Duration,
    ) -> BoxFuture<'c, Result<Option<Lag>, Failure>> {
        let lag = lag::ask(conn);
        lag.map(|lag| lag.map_err(|trouble| self.failed(cx, "replication lag", trouble))).boxed()
    }

    fn close(&self, conn: Connection) -> BoxFuture<'_, ()> {
        conn.close().boxed()
    }
}

/// Sets how long a statement may take: for MariaDB in the one comment that it alone executes, for
/// MySQL in the other, which MariaDB skips.
async fn limit_statements(conn: &mut Connection, limit: Duration) -> Result<(), Trouble> {
    let sql = format!(
        "/*M!100101 SET SESSION max_statement_time={:.3} */\
         /*!50708 SET SESSION max_execution_time={} */",
        limit.as_secs_f64(),
        limit.as_millis(),
    );
    match conn.count(&sql, 0).await {
        // An older server sees an empty statement, and has no such bound.
        Ok(_) | Err(Trouble::Refused { .. }) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}
