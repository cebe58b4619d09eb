//! The `postgres` kind: connects, asks one query, and on a replica how far it lags.
//!
//! The simple query protocol is used, so that nothing is prepared and poolers such as PgBouncer
//! serve it too. SQL has no field for a trace context, so none is sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool, Postgres, Row};

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
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Connects to PostgreSQL and asks a query; its rows, and a replica's lag, are what is expected, or
/// the run fails.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresOptions {
    /// Where the database is: `postgres://user:password@host:5432/database`, or by its socket
    /// `postgres:///database?host=/var/run/postgresql&user=app`.
    ///
    /// What it leaves out comes from the `PG…` variables and `.pgpass`, as for psql. Its
    /// `sslmode` is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`; without one and
    /// without `tls` it is `prefer`: TLS if the server offers it, with any certificate.
    /// `connect_timeout` and `channel_binding` are ignored.
    url: Secret,
    /// The query to ask. Default `"SELECT 1"`. The server is told to give it up soon after the
    /// check's timeout.
    query: Option<String>,
    /// What the answer must be.
    #[serde(default)]
    expect: ExpectRows,
    /// A replica that lags by more makes the run a warning. A duration such as `"5s"`. Asked
    /// only on a replica, of Postgres 10 or later. One that has lost its primary counts from the
    /// last transaction it replayed.
    warn_replication_lag: Option<Period>,
    /// A replica that lags by more, or cannot tell, fails the run with `out_of_range`.
    max_replication_lag: Option<Period>,
    /// Keep the connection from run to run, and open another only when it broke. Default false:
    /// every run connects, as a client that starts would.
    #[serde(default)]
    reuse: bool,
    /// TLS with the certificate verified, as `sslmode=verify-full`; `false` is none. Not
    /// together with `sslmode` in the URL. `ca` is trusted beside the system's authorities, and
    /// `server_name` is refused: the URL's host is what is verified.
    tls: Option<Tls>,
}

impl KindOptions for PostgresOptions {
    const NAME: &'static str = "postgres";
    const SUMMARY: &'static str = "connect to PostgreSQL, ask a query, watch replication lag";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&REPLICATION_LAG];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let url = SqlUrl::read(&self.url, &["postgres", "postgresql"], PARAMETERS, &mut errors);
        let sets_tls = url.as_ref().is_some_and(|url| url.sets("ssl"));
        let tls = TlsChoice::read(self.tls, sets_tls, &mut errors);
        let question = Question::read::<Postgres>(self.query, self.expect, &mut errors);
        let limits =
            LagLimits::read(self.warn_replication_lag, self.max_replication_lag, &mut errors);
        let options = url.as_ref().and_then(|url| url.options::<PgConnectOptions>(&mut errors));
        let (Some(url), Some(options), []) = (url, options, errors.as_slice()) else {
            return Err(errors);
        };
        let options = with_tls(plain(options), &tls);
        Ok(Arc::new(Client::<Postgres> {
            target: Postgres::target(&options),
            options,
            question,
            limits,
            redaction: url.redaction(),
            kept: Kept::when(self.reuse),
        }))
    }
}

/// The options without what a check does not need.
fn plain(options: PgConnectOptions) -> PgConnectOptions {
    // The driver looks up a literal address with its brackets as if it were a name.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    // PgBouncer refuses a start-up parameter it does not know.
    options.host(&host).extra_float_digits(None).disable_statement_logging()
}

fn with_tls(options: PgConnectOptions, tls: &TlsChoice) -> PgConnectOptions {
    let (options, client) = match tls {
        TlsChoice::AsUrl => return options,
        TlsChoice::Off => return options.ssl_mode(PgSslMode::Disable),
        TlsChoice::Unverified(client) => (options.ssl_mode(PgSslMode::Require), client),
        TlsChoice::Verified(None, client) => (options.ssl_mode(PgSslMode::VerifyFull), client),
        TlsChoice::Verified(Some(ca), client) => {
            (options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca), client)
        }
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
///
/// ```
/// # fn main() -> Result<(), sqlx::Error> {
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # let _guard = runtime.enter();
/// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/orders")?;
/// let check = vitalsign::checks::postgres::pool(pool.clone());
/// # let _ = check;
/// # Ok(()) }
/// ```
#[must_use]
pub fn pool(pool: PgPool) -> impl Check {
    PoolCheck::new(pool)
}

impl Dialect for Postgres {
    const KIND: &'static str = PostgresOptions::NAME;
    const QUERY: &'static str = "SELECT 1";

    fn reason(error: &dyn DatabaseError) -> Reason {
        reason(error.code().as_deref().unwrap_or_default())
    }

    fn target(options: &PgConnectOptions) -> Target {
        let socket = options.get_socket().map(|path| path.display().to_string());
        let host = options.get_host();
        let server = match socket {
            Some(address) => Server { address, port: None },
            None if host.starts_with('/') => Server { address: host.to_owned(), port: None },
            None => Server { address: host.to_owned(), port: Some(options.get_port()) },
        };
        // Without a database's name the server takes the user's.
        let namespace = options.get_database().unwrap_or_else(|| options.get_username());
        Target { system: "postgresql", namespace: Some(namespace.to_owned()), server: Some(server) }
    }

    fn rows(conn: &mut PgConnection, sql: String) -> Rows<'_, Self> {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn)
    }
}

/// The reason of an SQLSTATE, by appendix A of PostgreSQL's manual.
fn reason(sqlstate: &str) -> Reason {
    match sqlstate {
        "57P01" | "57P02" | "57P03" => Reason::NotServing,
        "57014" => Reason::Timeout,
        "08P01" => Reason::Protocol,
        _ if sqlstate.starts_with("28") => Reason::AuthFailed,
        _ if sqlstate.starts_with("53") => Reason::Overloaded,
        _ if sqlstate.starts_with("08") => Reason::NotServing,
        _ => Reason::QueryFailed,
    }
}

/// Whether it is a replica, whether its primary feeds it, and the seconds it is behind.
///
/// One that has replayed all it received is behind by nothing while it is fed; otherwise the age
/// of the last replayed transaction bounds the lag from above.
const LAG: &str = "\
SELECT pg_is_in_recovery(), fed, CASE \
WHEN fed AND pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() THEN 0 \
ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8 \
FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)) AS receiver (fed)";

impl Networked for Postgres {
    fn ask<'c>(
        conn: &'c mut PgConnection,
        question: &'c Question,
        limit: Duration,
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>> {
        let sql = &question.sql;
        let sql = if question.custom {
            // Local to the statements of this message: a pooler's next client does not see it.
            format!("SET LOCAL statement_timeout = {}; {sql}", limit.as_millis())
        } else {
            sql.clone()
        };
        count::<Self>(conn, sql).boxed()
    }

    fn lag(conn: &mut PgConnection) -> BoxFuture<'_, Result<Option<Lag>, sqlx::Error>> {
        async move {
            let row = sqlx::raw_sql(LAG).fetch_one(conn).await?;
            if !row.try_get::<bool, _>(0)? {
                return Ok(None);
            }
            let fed: bool = row.try_get(1)?;
            Ok(Some(match row.try_get::<Option<f64>, _>(2)? {
                Some(seconds) => Lag::Seconds(seconds.max(0.0)),
                None if fed => Lag::Unknown("the replica has replayed no transaction yet"),
                None => {
                    Lag::Stopped("the replica has no primary, and never replayed a transaction")
                }
            }))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_error_gives_its_reason() {
        for (state, wanted) in [
            ("28P01", Reason::AuthFailed),
            ("28000", Reason::AuthFailed),
            ("53300", Reason::Overloaded),
            ("57P03", Reason::NotServing),
            ("57P01", Reason::NotServing),
            ("57014", Reason::Timeout),
            ("08006", Reason::NotServing),
            ("08P01", Reason::Protocol),
            ("3D000", Reason::QueryFailed),
            ("42P01", Reason::QueryFailed),
        ] {
            assert_eq!(reason(state), wanted, "{state}");
        }
    }
}
