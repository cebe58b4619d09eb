//! The `mysql` kind: connects to MySQL or MariaDB, asks one query, and on a replica how far it
//! lags.
//!
//! A replica may follow several sources: MariaDB calls them connections and MySQL channels. All of
//! them are asked, by the newest statement that the server knows, and the worst one counts.
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
use sqlx::{AssertSqlSafe, MySql, MySqlPool, Row};

use super::replication::REPLICATION_LAG;
use super::sql::client::{Networked, Written, build, warnings};
use super::sql::lag::Lag;
use super::sql::pool::PoolCheck;
use super::sql::tls::TlsChoice;
use super::sql::{Dialect, ExpectRows, Question, Rows, Stage, Target, count};
use crate::config::{KindOptions, OptionError, Period, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::{Measurement, Reason};
use crate::net::database::{ConnectError, Limits, MysqlServers};

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
    /// certificate. Several hosts with commas between them are tried in order. Parameters of other
    /// programs are passed over, with a warning. Logins by mysql_native_password, sha256_password
    /// and caching_sha2_password are known; MariaDB's ed25519 and others are not.
    url: Secret,
    /// The query to ask, sent as it is written. Default `"SELECT 1"`. The server ends it soon
    /// after the check's timeout, where it can.
    query: Option<String>,
    /// What the answer must be.
    #[serde(default)]
    expect: ExpectRows,
    /// A replica that lags by more makes the run a warning. A duration such as `"5s"`. Asked
    /// only on a replica, of every connection or channel by which it follows a source; needs the privilege `REPLICATION CLIENT`, or MariaDB's
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

    fn warnings(&self) -> Vec<OptionError> {
        warnings::<MySql>(&self.url)
    }

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { url, query, expect, warn_replication_lag, max_replication_lag, reuse, tls } =
            self;
        let lag = (warn_replication_lag, max_replication_lag);
        build::<MySql>(Written { url, query, expect, lag, reuse, tls })
    }
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

    fn reason(error: &dyn DatabaseError, _: Stage) -> Reason {
        reason(number(error))
    }

    fn code(error: &dyn DatabaseError) -> Option<String> {
        Some(number(error).to_string())
    }

    fn target(options: &MySqlConnectOptions) -> Target {
        let namespace = options.get_database().map(str::to_owned);
        Target { system: "mysql", namespace, server: Some(MysqlServers::server(options)) }
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
    type Servers = MysqlServers;

    fn servers(url: &Secret, errors: &mut Vec<OptionError>) -> Option<MysqlServers> {
        MysqlServers::read(url, errors)
    }

    fn sets_tls(servers: &MysqlServers) -> bool {
        servers.sets_tls()
    }

    fn with_tls(servers: MysqlServers, tls: &TlsChoice) -> MysqlServers {
        servers.with_tls(|options| with_tls(options, tls))
    }

    fn first(servers: &MysqlServers) -> &MySqlConnectOptions {
        servers.first()
    }

    fn system(servers: &MysqlServers) -> &'static str {
        if servers.is_mariadb() { "mariadb" } else { "mysql" }
    }

    fn warning(servers: &MysqlServers) -> Option<String> {
        servers.warning()
    }

    fn redaction(servers: &MysqlServers) -> Redaction {
        servers.redaction()
    }

    fn connect(
        servers: &MysqlServers,
        limits: Limits,
    ) -> BoxFuture<'_, Result<MySqlConnection, ConnectError>> {
        servers.connect(limits).boxed()
    }

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
            let mut asked = STATUS.iter();
            loop {
                let sql = asked.next().copied().unwrap_or(OLDEST_STATUS);
                match sqlx::raw_sql(sql).fetch_all(&mut *conn).await {
                    Err(sqlx::Error::Database(error))
                        if number(error.as_ref()) == PARSE_ERROR && sql != OLDEST_STATUS => {}
                    rows => return Ok(worst(&sources(&rows?)?)),
                }
            }
        }
        .boxed()
    }
}

/// What shows every source of a replica, the newest form first: MariaDB's two, then MySQL's, which
/// shows every channel. On MariaDB the last two show only the connection without a name.
const STATUS: [&str; 3] =
    ["SHOW ALL REPLICAS STATUS", "SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS"];

/// What every server knows.
const OLDEST_STATUS: &str = "SHOW SLAVE STATUS";

/// Sets how long a statement may take: for MariaDB in the one comment that it alone executes, for
/// MySQL in the other, which MariaDB skips.
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

/// One source that a replica follows.
#[derive(Debug, Clone, Default)]
struct Source {
    /// Name of the connection or channel; empty for the one without a name.
    name: String,
    /// Seconds behind it; none while it is not followed.
    seconds: Option<f64>,
    /// States of the two threads that follow it.
    threads: [String; 2],
}

fn sources(rows: &[MySqlRow]) -> Result<Vec<Source>, sqlx::Error> {
    let text = |row: &MySqlRow, names: [&str; 2]| -> Result<Option<String>, sqlx::Error> {
        let [new, old] = names;
        row.try_get_unchecked(new).or_else(|_| row.try_get_unchecked(old))
    };
    let source = |row: &MySqlRow| {
        let seconds = text(row, ["Seconds_Behind_Source", "Seconds_Behind_Master"])?;
        // Neither stands in the answers of old servers, which know one source alone.
        let name = text(row, ["Connection_name", "Channel_Name"]).ok().flatten();
        let thread = |names| Ok::<_, sqlx::Error>(text(row, names)?.unwrap_or_default());
        Ok(Source {
            name: name.unwrap_or_default(),
            seconds: seconds.and_then(|text| text.parse().ok()),
            threads: [
                thread(["Replica_IO_Running", "Slave_IO_Running"])?,
                thread(["Replica_SQL_Running", "Slave_SQL_Running"])?,
            ],
        })
    };
    rows.iter().map(source).collect()
}

/// The lag behind the source that is worst: all that are not followed, else the largest; none
/// without a source.
fn worst(sources: &[Source]) -> Option<Lag> {
    let stopped: Vec<String> = sources
        .iter()
        .filter(|source| source.seconds.is_none())
        .map(|Source { name, threads: [io, sql], .. }| {
            let name = if name.is_empty() { String::new() } else { format!("`{name}` ") };
            format!("{name}(I/O thread {io}, SQL thread {sql})")
        })
        .collect();
    if !stopped.is_empty() {
        let text = format!("replication is not running: {}", stopped.join(", "));
        return Some(Lag::Stopped(text));
    }
    let behind = sources.iter().filter_map(|source| Some((source.seconds?, &source.name)));
    let largest = behind.max_by(|(one, _), (other, _)| one.total_cmp(other));
    largest.map(|(seconds, name)| {
        let source = (!name.is_empty()).then(|| name.clone());
        Lag::Seconds { seconds, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_sources_counts_and_is_named() {
        let source = |name: &str, seconds| Source {
            name: name.to_owned(),
            seconds,
            threads: ["Connecting".to_owned(), "Yes".to_owned()],
        };
        assert_eq!(worst(&[]), None);
        assert_eq!(worst(&[source("", Some(0.0))]), Some(Lag::seconds(0.0)));
        let several = [source("", Some(1.0)), source("m2", Some(7.0)), source("m3", Some(2.0))];
        let wanted = Lag::Seconds { seconds: 7.0, source: Some("m2".to_owned()) };
        assert_eq!(worst(&several), Some(wanted));
        let broken = [source("m1", None), source("m2", Some(0.0)), source("m3", None)];
        let threads = "(I/O thread Connecting, SQL thread Yes)";
        let text = format!("replication is not running: `m1` {threads}, `m3` {threads}");
        assert_eq!(worst(&broken), Some(Lag::Stopped(text)));
    }

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
