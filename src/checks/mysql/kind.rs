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
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, MySql, Row};

use super::dialect::{PARSE_ERROR, number};
use crate::checks::replication::REPLICATION_LAG;
use crate::checks::sql::client::{Networked, Written, build, warnings};
use crate::checks::sql::lag::Lag;
use crate::checks::sql::options::ExpectRows;
use crate::checks::sql::tls::TlsChoice;
use crate::checks::sql::{Dialect, Question, count};
use crate::config::{KindOptions, OptionError, Period, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::database::{ConnectError, Limits, MysqlServers};

/// Connects to MySQL or MariaDB and asks a query; its rows, and a replica's lag, are what is
/// expected, or the run fails.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MysqlOptions {
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
    const NAME: &'static str = MySql::KIND;
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
}
