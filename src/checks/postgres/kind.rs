//! The `postgres` kind: connects to PostgreSQL, runs one query, and checks the replication lag of a
//! replica.
//!
//! # The query
//! It is sent as it is written, by the simple query protocol: nothing is prepared and nothing is
//! sent beside it, so that poolers such as `PgBouncer`, their consoles, and statements that
//! refuse a transaction such as `VACUUM` are served too. SQL has no field for a trace context.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Postgres};

use super::lag;
use crate::checks::sql::client::{DatabaseClient, SqlOptions, build, warnings};
use crate::checks::sql::error::{connect_failure, failure};
use crate::checks::sql::lag::{Lag, REPLICATION_LAG};
use crate::checks::sql::options::ExpectRows;
use crate::checks::sql::tls::TlsChoice;
use crate::checks::sql::{Dialect, Question, Stage, Target, catch_driver_panic, count};
use crate::config::{KindOptions, OptionError, Period, Redaction, Secret, Tls};
use crate::engine::check::{Check, Context, Failure};
use crate::model::{Measurement, Phase};
use crate::net::database::{Limits, PostgresServers};

/// Connects to PostgreSQL and runs a query; optionally checks the number of rows and the lag of a
/// replica.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresOptions {
    /// Where the database is: `postgres://user:password@host:5432/database`, or by its socket
    /// `postgres:///database?host=/var/run/postgresql&user=app`.
    ///
    /// Missing parts come from the `PG…` variables and `.pgpass`, as with psql. Its `sslmode` is
    /// `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`, with the same meaning
    /// as in libpq. Without `sslmode` and without `tls` it is `prefer`: TLS with any certificate,
    /// and a second attempt without TLS if the server refuses it. `require` verifies the
    /// certificate if a `sslrootcert` is given. Several hosts, separated by commas, are tried in
    /// order, and `target_session_attrs` is checked on each. Parameters for other programs are
    /// ignored with a warning.
    url: Secret,
    /// The query, sent as it is written. Default `"SELECT 1"`. A `statement_timeout` ends it soon
    /// after the check's timeout, unless a pooler refuses to set one.
    query: Option<String>,
    /// Expectations of the result.
    #[serde(default)]
    expect: ExpectRows,
    /// A replica that lags by more makes the run a warning. A duration such as `"5s"`. Asked
    /// only on a replica, of Postgres 10 or later. One that has lost its primary counts from the
    /// last transaction it replayed. One that has heard of nothing new for longer than the bound,
    /// and for 20 s at least, warns: its primary is idle, or the replica that it follows is cut off.
    warn_replication_lag: Option<Period>,
    /// A replica with a larger lag, or that does not know the position of its primary yet, fails
    /// the run with `out_of_range`.
    max_replication_lag: Option<Period>,
    /// Keep the connection between runs, and open a new one only if it broke. Default false: every
    /// run connects, like a new client.
    #[serde(default)]
    reuse: bool,
    /// TLS with a verified certificate, like `sslmode=verify-full`; `false` turns TLS off. Not
    /// together with `sslmode` in the URL. `ca` is trusted in addition to the system's authorities.
    /// `server_name` is refused, because the URL's host is verified.
    tls: Option<Tls>,
}

impl KindOptions for PostgresOptions {
    const NAME: &'static str = "postgres";
    const SUMMARY: &'static str = "connect to PostgreSQL, ask a query, watch replication lag";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&REPLICATION_LAG];

    fn warnings(&self) -> Vec<OptionError> {
        warnings::<PostgresClient>(&self.url)
    }

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { url, query, expect, warn_replication_lag, max_replication_lag, reuse, tls } =
            self;
        let lag = (warn_replication_lag, max_replication_lag);
        build::<PostgresClient>(SqlOptions { url, query, expect, lag, reuse, tls })
    }
}

fn with_tls(options: PgConnectOptions, tls: &TlsChoice) -> PgConnectOptions {
    let (options, client) = match tls {
        TlsChoice::AsUrl => return options,
        TlsChoice::Off => return options.ssl_mode(PgSslMode::Disable),
        TlsChoice::Unverified(client) => (options.ssl_mode(PgSslMode::Require), client),
        TlsChoice::Verified(None, client) => (options.ssl_mode(PgSslMode::VerifyFull), client),
        TlsChoice::Verified(Some(ca), client) => {
            let options = options.ssl_mode(PgSslMode::VerifyFull);
            (options.ssl_root_cert_from_pem(ca.clone()), client)
        }
    };
    match client {
        Some((cert, key)) => options.ssl_client_cert_from_pem(cert).ssl_client_key_from_pem(key),
        None => options,
    }
}

/// The servers that a URL names.
///
/// It has no `Debug`, for the connect options would show the password.
struct PostgresClient {
    servers: PostgresServers,
    redaction: Redaction,
}

impl PostgresClient {
    fn failed(&self, cx: &Context, step: &str, error: &sqlx::Error) -> Failure {
        failure::<Postgres>(&self.redaction, cx, Stage::Query, step, error)
    }

    async fn open(
        &self,
        cx: &Context,
        statement: Option<Duration>,
    ) -> Result<PgConnection, Failure> {
        let limits = Limits { connect: cx.remaining(), statement };
        let attempt = async { Ok(self.servers.connect(limits).await) };
        match Box::pin(catch_driver_panic(attempt)).await {
            Ok(connected) => {
                connected.map_err(|error| connect_failure::<Postgres>(&self.redaction, cx, &error))
            }
            Err(error) => {
                let step = format!("connect to {}", self.target().place());
                Err(failure::<Postgres>(&self.redaction, cx, Stage::Connect, step, &error))
            }
        }
    }
}

impl DatabaseClient for PostgresClient {
    type Dialect = Postgres;
    type Connection = PgConnection;

    fn read(url: &Secret, tls: Option<Tls>, errors: &mut Vec<OptionError>) -> Option<Self> {
        let servers = PostgresServers::read(url, errors);
        let sets_tls = servers.as_ref().is_some_and(PostgresServers::sets_tls);
        let tls = TlsChoice::read(tls, sets_tls, errors);
        let servers = match tls {
            TlsChoice::AsUrl => servers?,
            tls => servers?.with_tls(|options| with_tls(options, &tls)),
        };
        Some(Self { redaction: servers.redaction(), servers })
    }

    fn target(&self) -> Target {
        <Postgres as Dialect>::target(self.servers.first())
    }

    fn warning(&self) -> Option<String> {
        self.servers.warning()
    }

    fn connect<'a>(
        &'a self,
        cx: &'a Context,
        statement: Option<Duration>,
    ) -> BoxFuture<'a, Result<PgConnection, Failure>> {
        cx.phase(Phase::Connect, self.open(cx, statement)).boxed()
    }

    fn is_alive<'c>(&'c self, conn: &'c mut PgConnection) -> BoxFuture<'c, bool> {
        catch_driver_panic(conn.ping()).map(|answer| answer.is_ok()).boxed()
    }

    fn ask<'c>(
        &'c self,
        cx: &'c Context,
        conn: &'c mut PgConnection,
        question: &'c Question,
        _: Duration,
    ) -> BoxFuture<'c, Result<u64, Failure>> {
        let asked = catch_driver_panic(count::<Postgres>(conn, question.sql.clone()));
        asked.map(|rows| rows.map_err(|error| self.failed(cx, "query", &error))).boxed()
    }

    fn lag<'c>(
        &'c self,
        cx: &'c Context,
        conn: &'c mut PgConnection,
        bound: Duration,
    ) -> BoxFuture<'c, Result<Option<Lag>, Failure>> {
        let asked = catch_driver_panic(lag::ask(conn, bound));
        asked.map(|lag| lag.map_err(|error| self.failed(cx, "replication lag", &error))).boxed()
    }

    fn close(&self, conn: PgConnection) -> BoxFuture<'_, ()> {
        catch_driver_panic(conn.close()).map(drop).boxed()
    }
}
