//! The `postgres` kind: connects, asks one query, and on a replica how far it lags.
//!
//! # The query
//! It is sent as it is written, by the simple query protocol: nothing is prepared and nothing is
//! sent beside it, so that poolers such as `PgBouncer`, their consoles, and statements that
//! refuse a transaction such as `VACUUM` are served too. SQL has no field for a trace context.
//!
//! # The lag of a replica
//! It is known while the replica's receiver is connected and has heard where its source is. A
//! replica that has replayed all that its source has is behind by nothing. Otherwise the age of
//! the last replayed transaction bounds the lag from above, and without one it is not known.
//!
//! A source may be a replica too, and be cut off itself: it goes on answering and sends nothing
//! new. The replica cannot tell that from an idle primary, so after some minutes of silence the
//! lag is not reported any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Postgres, Row};

use crate::checks::replication::REPLICATION_LAG;
use crate::checks::sql::client::{Networked, Written, build, warnings};
use crate::checks::sql::lag::Lag;
use crate::checks::sql::options::ExpectRows;
use crate::checks::sql::tls::TlsChoice;
use crate::checks::sql::{Dialect, Question, count};
use crate::config::{KindOptions, OptionError, Period, Redaction, Secret, Tls};
use crate::engine::check::Check;
use crate::model::Measurement;
use crate::net::database::{ConnectError, Limits, PostgresServers};

/// Connects to PostgreSQL and asks a query; its rows, and a replica's lag, are what is expected, or
/// the run fails.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresOptions {
    /// Where the database is: `postgres://user:password@host:5432/database`, or by its socket
    /// `postgres:///database?host=/var/run/postgresql&user=app`.
    ///
    /// What it leaves out comes from the `PG…` variables and `.pgpass`, as for psql. Its
    /// `sslmode` is `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`, as libpq
    /// has them: without one and without `tls` it is `prefer`, TLS with any certificate, and
    /// once more without where that is refused; `require` verifies where a `sslrootcert` is named.
    /// Several hosts with commas between them are tried in order, and `target_session_attrs` is
    /// asked of each. Parameters of other programs are passed over, with a warning.
    url: Secret,
    /// The query to ask, sent as it is written. Default `"SELECT 1"`. A `statement_timeout` ends
    /// it soon after the check's timeout, where no pooler refuses to set one.
    query: Option<String>,
    /// What the answer must be.
    #[serde(default)]
    expect: ExpectRows,
    /// A replica that lags by more makes the run a warning. A duration such as `"5s"`. Asked
    /// only on a replica, of Postgres 10 or later. One that has lost its primary counts from the
    /// last transaction it replayed. One that has heard of nothing new for six minutes warns: its
    /// primary is idle, or the replica that it follows is cut off. It sees that with the role
    /// `pg_read_all_stats` alone.
    warn_replication_lag: Option<Period>,
    /// A replica that lags by more, or has not heard yet how far its primary is, fails the run
    /// with `out_of_range`.
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
    const NAME: &'static str = Postgres::KIND;
    const SUMMARY: &'static str = "connect to PostgreSQL, ask a query, watch replication lag";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&REPLICATION_LAG];

    fn warnings(&self) -> Vec<OptionError> {
        warnings::<Postgres>(&self.url)
    }

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { url, query, expect, warn_replication_lag, max_replication_lag, reuse, tls } =
            self;
        let lag = (warn_replication_lag, max_replication_lag);
        build::<Postgres>(Written { url, query, expect, lag, reuse, tls })
    }
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

/// How long nothing new may come before an idle primary and a source that is cut off itself look
/// the same: longer than the five minutes of `checkpoint_timeout` and of the heartbeats that
/// hosted databases write.
const SILENCE: Duration = Duration::from_mins(6);

/// Whether it is a replica; whether its receiver is connected; whether it has replayed all that it
/// knows of its source, null where it has heard nothing of it yet; the age in seconds of what came
/// last, which a role without `pg_read_all_stats` does not see; and that of the last replayed
/// transaction.
///
/// A receiver begins at the start of a segment of the log, and stands there until it has received
/// something.
const LAG: &str = "\
SELECT pg_is_in_recovery(), \
EXISTS (SELECT FROM pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming'), \
(SELECT CASE WHEN status IS NOT NULL THEN pg_last_wal_replay_lsn() >= latest_end_lsn \
WHEN (pg_last_wal_receive_lsn() - '0/0') % pg_size_bytes(current_setting('wal_segment_size')) > 0 \
THEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() END FROM pg_stat_wal_receiver), \
(SELECT extract(epoch FROM clock_timestamp() - latest_end_time)::float8 \
FROM pg_stat_wal_receiver), \
extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8";

/// The lag of a replica out of its answers to [`LAG`].
fn lag(fed: bool, level: Option<bool>, silent: Option<f64>, replayed: Option<f64>) -> Lag {
    let bound = |seconds: f64| Lag::seconds(seconds.max(0.0));
    match (fed, level, replayed) {
        (true, Some(true), _) => match silent {
            Some(seconds) if seconds > SILENCE.as_secs_f64() => Lag::Silent(format!(
                "the replica has heard of nothing new for {:.0} min: its primary is idle, or the \
                 replica that it follows is cut off",
                seconds / 60.0
            )),
            _ => Lag::seconds(0.0),
        },
        (true, None, _) => {
            Lag::Unknown("the replica has not heard yet how far its source is".to_owned())
        }
        (true, Some(false), None) => {
            Lag::Unknown("the replica has replayed no transaction yet".to_owned())
        }
        (_, _, Some(seconds)) => bound(seconds),
        (false, _, None) => {
            Lag::Stopped("the replica has no primary, and never replayed a transaction".to_owned())
        }
    }
}

impl Networked for Postgres {
    type Servers = PostgresServers;

    fn servers(url: &Secret, errors: &mut Vec<OptionError>) -> Option<PostgresServers> {
        PostgresServers::read(url, errors)
    }

    fn sets_tls(servers: &PostgresServers) -> bool {
        servers.sets_tls()
    }

    fn with_tls(servers: PostgresServers, tls: &TlsChoice) -> PostgresServers {
        match tls {
            TlsChoice::AsUrl => servers,
            tls => servers.with_tls(|options| with_tls(options, tls)),
        }
    }

    fn first(servers: &PostgresServers) -> &PgConnectOptions {
        servers.first()
    }

    fn system(_: &PostgresServers) -> &'static str {
        "postgresql"
    }

    fn warning(servers: &PostgresServers) -> Option<String> {
        servers.warning()
    }

    fn redaction(servers: &PostgresServers) -> Redaction {
        servers.redaction()
    }

    fn connect(
        servers: &PostgresServers,
        limits: Limits,
    ) -> BoxFuture<'_, Result<PgConnection, ConnectError>> {
        servers.connect(limits).boxed()
    }

    fn ask<'c>(
        conn: &'c mut PgConnection,
        question: &'c Question,
        _: Duration,
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>> {
        count::<Self>(conn, question.sql.clone()).boxed()
    }

    fn lag(conn: &mut PgConnection) -> BoxFuture<'_, Result<Option<Lag>, sqlx::Error>> {
        async move {
            let row = sqlx::raw_sql(LAG).fetch_one(conn).await?;
            if !row.try_get::<bool, _>(0)? {
                return Ok(None);
            }
            Ok(Some(lag(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?)))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_known_while_the_receiver_is_connected_and_has_heard() {
        assert_eq!(lag(true, Some(true), Some(1.0), Some(99.0)), Lag::seconds(0.0));
        assert_eq!(lag(true, Some(true), Some(1.0), None), Lag::seconds(0.0));
        assert_eq!(lag(true, Some(true), None, None), Lag::seconds(0.0), "no right to see");
        assert_eq!(lag(true, Some(false), Some(1.0), Some(7.0)), Lag::seconds(7.0));
        assert_eq!(lag(false, None, None, Some(7.0)), Lag::seconds(7.0));
        assert_eq!(lag(false, None, None, Some(-1.0)), Lag::seconds(0.0), "another clock");
        let silent = SILENCE.as_secs_f64() + 1.0;
        assert!(matches!(lag(true, Some(true), Some(silent), Some(1.0)), Lag::Silent(_)));
        for (level, replayed) in [(None, None), (None, Some(1.0)), (Some(false), None)] {
            assert!(matches!(lag(true, level, Some(1.0), replayed), Lag::Unknown(_)), "{level:?}");
        }
        assert!(matches!(lag(false, None, None, None), Lag::Stopped(_)));
    }
}
