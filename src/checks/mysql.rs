//! The `mysql` kind: connects to MySQL or MariaDB, asks one query, and on a replica how far it
//! lags.
//!
//! SQL has no field for a trace context, so none is sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use sqlx::error::DatabaseError;
use sqlx::mysql::{
    MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode,
};
use sqlx::{AssertSqlSafe, ConnectOptions, MySql, MySqlPool, Row};

use super::replication::REPLICATION_LAG;
use super::sql::client::{Client, Kept, Networked};
use super::sql::lag::{Lag, LagLimits};
use super::sql::pool::PoolCheck;
use super::sql::tls::TlsChoice;
use super::sql::url::SqlUrl;
use super::sql::{Dialect, ExpectRows, Question, Rows, Target, count};
use crate::config::{KindOptions, OptionError, Period, Secret, Tls};
use crate::engine::check::Check;
use crate::model::{Measurement, Reason, Server};

/// Parameters that a URL may carry.
const PARAMETERS: &[&str] = &[
    "charset",
    "collation",
    "socket",
    "sslca",
    "sslcert",
    "sslkey",
    "sslmode",
    "statement-cache-capacity",
    "time-zone",
    "timezone",
];

/// Connects to MySQL or MariaDB and asks a query; its rows, and a replica's lag, are what is
/// expected, or the run fails.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlOptions {
    /// Where the database is: `mysql://user:password@host:3306/database` or `mariadb://…`, or by
    /// its socket `mysql://user:password@localhost/database?socket=/run/mysqld/mysqld.sock`.
    ///
    /// Its `ssl-mode` is `disabled`, `preferred`, `required`, `verify_ca` or `verify_identity`;
    /// without one and without `tls` it is `preferred`: TLS if the server offers it, with any
    /// certificate. `connect_timeout` and `channel_binding` are ignored.
    url: Secret,
    /// The query to ask. Default `"SELECT 1"`. The server is told to give it up soon after the
    /// check's timeout, where it can.
    query: Option<String>,
    /// What the answer must be.
    #[serde(default)]
    expect: ExpectRows,
    /// A replica that lags by more makes the run a warning. A duration such as `"5s"`. Asked
    /// only on a replica; needs the privilege `REPLICATION CLIENT`, or MariaDB's
    /// `REPLICA MONITOR`.
    warn_replication_lag: Option<Period>,
    /// A replica that lags by more, or has stopped replicating, fails the run with
    /// `out_of_range`.
    max_replication_lag: Option<Period>,
    /// Keep the connection from run to run, and open another only when it broke. Default false:
    /// every run connects, as a client that starts would.
    #[serde(default)]
    reuse: bool,
    /// TLS with the certificate verified, as `ssl-mode=verify_identity`; `false` is none. Not
    /// together with `ssl-mode` in the URL. `ca` is trusted beside the system's authorities, and
    /// `server_name` is refused: the URL's host is what is verified.
    tls: Option<Tls>,
}

impl KindOptions for MysqlOptions {
    const NAME: &'static str = "mysql";
    const SUMMARY: &'static str = "connect to MySQL or MariaDB, ask a query, watch replication lag";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&REPLICATION_LAG];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url = SqlUrl::read(&self.url, &["mysql", "mariadb"], PARAMETERS, &mut errors);
        let sets_tls = url.as_ref().is_some_and(|url| url.sets("ssl"));
        let tls = TlsChoice::read(self.tls, sets_tls, &mut errors);
        let question = Question::read::<MySql>(self.query, self.expect, &mut errors);
        let limits =
            LagLimits::read(self.warn_replication_lag, self.max_replication_lag, &mut errors);
        let options = url.as_ref().and_then(|url| url.options::<MySqlConnectOptions>(&mut errors));
        let (Some(url), Some(options), []) = (url, options, errors.as_slice()) else {
            return Err(errors);
        };
        let options = with_tls(plain(options, &url), &tls);
        let mut target = MySql::target(&options);
        if url.is("mariadb") {
            target.system = "mariadb";
        }
        Ok(Arc::new(Client::<MySql> {
            target,
            options,
            question,
            limits,
            redaction: url.redaction(),
            kept: Kept::when(self.reuse),
        }))
    }
}

/// The options without what a check does not need: the driver would set up each session with a
/// statement of its own.
fn plain(options: MySqlConnectOptions, url: &SqlUrl) -> MySqlConnectOptions {
    // The driver looks up a literal address with its brackets as if it were a name.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    let mut options = options
        .host(&host)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging();
    if !url.sets("charset") && !url.sets("collation") {
        options = options.set_names(false);
    }
    if !url.sets("time") {
        options = options.timezone(None);
    }
    options
}

fn with_tls(options: MySqlConnectOptions, tls: &TlsChoice) -> MySqlConnectOptions {
    let verified = MySqlSslMode::VerifyIdentity;
    let (options, client) = match tls {
        TlsChoice::AsUrl => return options,
        TlsChoice::Off => return options.ssl_mode(MySqlSslMode::Disabled),
        TlsChoice::Unverified(client) => (options.ssl_mode(MySqlSslMode::Required), client),
        TlsChoice::Verified(None, client) => (options.ssl_mode(verified), client),
        TlsChoice::Verified(Some(ca), client) => (options.ssl_mode(verified).ssl_ca(ca), client),
    };
    match client {
        Some((cert, key)) => options.ssl_client_cert(cert).ssl_client_key(key),
        None => options,
    }
}

/// A check of the application's own pool: takes a connection, asks `SELECT 1`, and reports how
/// full the pool is.
///
/// A pool that is exhausted fails the run with [`Reason::Overloaded`].
#[must_use]
pub fn pool(pool: MySqlPool) -> impl Check {
    PoolCheck::new(pool)
}

impl Dialect for MySql {
    const KIND: &'static str = MysqlOptions::NAME;
    const QUERY: &'static str = "SELECT 1";

    fn reason(error: &dyn DatabaseError) -> Reason {
        reason(number(error))
    }

    fn code(error: &dyn DatabaseError) -> Option<String> {
        Some(number(error).to_string())
    }

    fn target(options: &MySqlConnectOptions) -> Target {
        let server = match options.get_socket() {
            Some(path) => Server { address: path.display().to_string(), port: None },
            None => {
                Server { address: options.get_host().to_owned(), port: Some(options.get_port()) }
            }
        };
        let namespace = options.get_database().map(str::to_owned);
        Target { system: "mysql", namespace, server: Some(server) }
    }

    fn rows(conn: &mut MySqlConnection, sql: String) -> Rows<'_, Self> {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn)
    }
}

fn number(error: &dyn DatabaseError) -> u16 {
    error.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number)
}

const PARSE_ERROR: u16 = 1064;

/// The reason of an error number, by the server error references of MySQL and MariaDB.
fn reason(number: u16) -> Reason {
    match number {
        // Access denied, to the server or database; host not allowed; a plugin or password that
        // no longer is; a locked account (MySQL's and MariaDB's number).
        1044 | 1045 | 1130 | 1251 | 1275 | 1524 | 1698 | 1820 | 1862 | 2061 | 3118 | 4151 => {
            Reason::AuthFailed
        }
        // Connections, memory, threads, a host's failed attempts, a user's connections or share.
        1040 | 1041 | 1129 | 1135 | 1203 | 1226 => Reason::Overloaded,
        // Shutting down, offline, or this connection was killed.
        1053 | 1077 | 1079 | 1927 | 3032 => Reason::NotServing,
        // The server's own bounds on a statement's time.
        1969 | 3024 => Reason::Timeout,
        1043 | 1047 | 1153 | 1156..=1161 => Reason::Protocol,
        _ => Reason::QueryFailed,
    }
}

impl Networked for MySql {
    fn ask<'c>(
        conn: &'c mut MySqlConnection,
        question: &'c Question,
        limit: Duration,
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>> {
        async move {
            if question.custom {
                limit_statements(conn, limit).await?;
            }
            count::<Self>(conn, question.sql.clone()).await
        }
        .boxed()
    }

    fn lag(conn: &mut MySqlConnection) -> BoxFuture<'_, Result<Option<Lag>, sqlx::Error>> {
        async move {
            let mut status = sqlx::raw_sql("SHOW REPLICA STATUS").fetch_all(&mut *conn).await;
            if let Err(sqlx::Error::Database(error)) = &status
                && number(error.as_ref()) == PARSE_ERROR
            {
                // MySQL before 8.0.22 and MariaDB before 10.5.
                status = sqlx::raw_sql("SHOW SLAVE STATUS").fetch_all(conn).await;
            }
            worst(&status?)
        }
        .boxed()
    }
}

/// Tells the server to end a statement by itself after `limit`: MariaDB by the one comment that
/// it alone executes, MySQL by the other, which MariaDB skips.
async fn limit_statements(conn: &mut MySqlConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let sql = format!(
        "/*M!100101 SET SESSION max_statement_time={:.3} */\
         /*!50708 SET SESSION max_execution_time={} */",
        limit.as_secs_f64(),
        limit.as_millis(),
    );
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await {
        // An older server sees an empty statement, and has no such bound.
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The largest lag of a replica's sources; none if it has no source.
fn worst(sources: &[MySqlRow]) -> Result<Option<Lag>, sqlx::Error> {
    let mut lag = None;
    for source in sources {
        let column = source
            .try_get_unchecked::<Option<String>, _>("Seconds_Behind_Source")
            .or_else(|_| source.try_get_unchecked("Seconds_Behind_Master"))?;
        let Some(Ok(seconds)) = column.map(|text: String| text.parse::<f64>()) else {
            return Ok(Some(Lag::Stopped("replication is not running")));
        };
        lag = Some(seconds.max(lag.unwrap_or(0.0)));
    }
    Ok(lag.map(Lag::Seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_gives_its_reason() {
        for (number, wanted) in [
            (1045, Reason::AuthFailed),
            (1698, Reason::AuthFailed),
            (1040, Reason::Overloaded),
            (1203, Reason::Overloaded),
            (1053, Reason::NotServing),
            (1969, Reason::Timeout),
            (3024, Reason::Timeout),
            (1156, Reason::Protocol),
            (1049, Reason::QueryFailed),
            (1064, Reason::QueryFailed),
        ] {
            assert_eq!(reason(number), wanted, "{number}");
        }
    }
}
