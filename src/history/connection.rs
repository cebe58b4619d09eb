//! A connection to a store, SQLite or PostgreSQL, with the same interface for both.
//!
//! Every statement is written once, in SQL that both understand; only this module knows the
//! differences.

//! # Behind a pooler
//! A pooler such as `PgBouncer` may give each transaction another session of the server. So on
//! PostgreSQL no statement has a name, and a statement with parameters, which takes two steps, is
//! always part of a transaction.

use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection as _};

use super::error::{HistoryError, StoreError};
use super::options::Place;
use super::row::Row;
use super::value::Value;
use crate::model::redacted;
use crate::net::database::{ConnectError, Limits, ServerError};

/// Longest time to connect to a server. The callers have shorter bounds of their own.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest time that a statement of SQLite waits for the lock of another connection.
const BUSY: Duration = Duration::from_secs(2);

/// Values that one statement holds at most. SQLite takes 32,766, but a statement of a few hundred
/// costs no more for each row, and takes tens of kilobytes for its moment instead of hundreds.
const SQLITE_VALUES: usize = 512;

/// The same for PostgreSQL, which takes 65,535, and where each statement is a way there and back.
const POSTGRES_VALUES: usize = 4_096;

/// Values up to which a statement stays prepared on a connection to SQLite.
///
/// The text of a longer one depends on how many rows it holds, so it rarely comes again, and the
/// driver would keep a hundred of them.
const MAX_PREPARED_VALUES: usize = 16;

static SQLITE: Migrator = sqlx::migrate!("src/history/migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/history/migrations/postgres");

/// The key of the advisory lock on the schema.
const SCHEMA_LOCK: &str = "SELECT pg_advisory_xact_lock(1986620020, 1)";

/// A connection of its own, not one of a pool.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    /// A server, and whether a transaction has begun.
    Postgres(PgConnection, bool),
}

/// Whether a statement with `values` is worth its place among those that stay prepared.
const fn stays_prepared(values: &[Value]) -> bool {
    values.len() <= MAX_PREPARED_VALUES
}

/// Binds `values` in order.
fn arguments<A: Arguments>(values: &[Value]) -> Result<A, StoreError>
where
    Option<i64>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    Option<String>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    Vec<u8>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
{
    let mut arguments = A::default();
    arguments.reserve(values.len(), 16 * values.len());
    for value in values {
        match value {
            Value::Int(value) => arguments.add(*value),
            Value::Text(value) => arguments.add(value.clone()),
            Value::Blob(value) => arguments.add(value.clone()),
        }
        .map_err(|error| StoreError::Trouble(error.to_string()))?;
    }
    Ok(arguments)
}

impl Connection {
    /// Opens the store at `place`; its schema may not be up to date.
    pub(super) async fn connect(place: &Place) -> Result<Self, StoreError> {
        match place {
            Place::Memory => {
                let options = SqliteConnectOptions::new().filename(":memory:");
                let conn = sqlite(options).connect().await?;
                Ok(Self::Sqlite(conn))
            }
            Place::File(path) => {
                let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
                // Acknowledged data must survive a power failure; with one commit in ten seconds
                // the cost is negligible.
                let options = sqlite(options)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .pragma("journal_size_limit", "4194304");
                options.connect().await.map(Self::Sqlite).map_err(|error| opening(path, error))
            }
            Place::Postgres(servers) => {
                let limits = Limits { connect: CONNECT, statement: None };
                Ok(Self::Postgres(servers.connect(limits).await?, false))
            }
        }
    }

    /// The migrations of this kind of store.
    pub(super) const fn migrations(&self) -> &'static Migrator {
        match self {
            Self::Sqlite(_) => &SQLITE,
            Self::Postgres(..) => &POSTGRES,
        }
    }

    /// Locks the schema until the transaction ends.
    pub(super) async fn lock_schema(&mut self) -> Result<(), StoreError> {
        match self {
            // A write transaction of SQLite locks the whole file.
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(..) => self.fetch(SCHEMA_LOCK, &[]).await.map(drop),
        }
    }

    /// How many of the tables `names` there are.
    pub(super) async fn tables(&mut self, names: &[&str]) -> Result<usize, StoreError> {
        let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let names = names.join(", ");
        let sql = match self {
            Self::Sqlite(_) => {
                format!(
                    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ({names})"
                )
            }
            Self::Postgres(..) => {
                format!("SELECT count(to_regclass(name)) FROM unnest(ARRAY[{names}]) AS t (name)")
            }
        };
        let rows = self.fetch(&sql, &[]).await?;
        let count = rows.first().map_or(Ok(0), |row| row.int(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The statement that makes the record of migrations, as sqlx has it.
    pub(super) fn migrations_table(&self, name: &str) -> String {
        let (time, bytes) = match self {
            Self::Sqlite(_) => ("TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP", "BLOB"),
            Self::Postgres(..) => ("TIMESTAMPTZ NOT NULL DEFAULT now()", "BYTEA"),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {name} (version BIGINT PRIMARY KEY, \
             description TEXT NOT NULL, installed_on {time}, success BOOLEAN NOT NULL, \
             checksum {bytes} NOT NULL, execution_time BIGINT NOT NULL)"
        )
    }

    /// Runs several statements without parameters.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop)?,
            Self::Postgres(conn, _) => sqlx::raw_sql(sql).execute(conn).await.map(drop)?,
        }
        Ok(())
    }

    /// Runs `sql`, whose parameters are `$1`, `$2`, … in both stores, or `?` from [`Self::insert`].
    pub(super) async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let alone = self.begin_alone(values).await?;
        let sql = AssertSqlSafe(sql.to_owned());
        let changed = match self {
            Self::Sqlite(conn) => {
                let query = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                let query = query.persistent(stays_prepared(values));
                query.execute(conn).await?.rows_affected()
            }
            Self::Postgres(conn, _) if values.is_empty() => {
                sqlx::raw_sql(sql).execute(conn).await?.rows_affected()
            }
            Self::Postgres(conn, _) => {
                let query = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                query.persistent(false).execute(conn).await?.rows_affected()
            }
        };
        if alone {
            self.commit().await?;
        }
        Ok(changed)
    }

    /// The rows that `sql` finds.
    pub(super) async fn fetch(
        &mut self,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let alone = self.begin_alone(values).await?;
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = match self {
            Self::Sqlite(conn) => {
                let query = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                let query = query.persistent(stays_prepared(values));
                query.fetch_all(conn).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(conn, _) if values.is_empty() => {
                sqlx::raw_sql(sql).fetch_all(conn).await?.into_iter().map(Row::Postgres).collect()
            }
            Self::Postgres(conn, _) => {
                let query = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                let rows = query.persistent(false).fetch_all(conn).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        };
        if alone {
            self.commit().await?;
        }
        Ok(rows)
    }

    /// Begins a transaction for one statement, if it needs one.
    async fn begin_alone(&mut self, values: &[Value]) -> Result<bool, StoreError> {
        let alone = matches!(self, Self::Postgres(_, false)) && !values.is_empty();
        if alone {
            self.begin().await?;
        }
        Ok(alone)
    }

    /// Inserts `rows` of `columns` values each, many in one statement, between `head` and `tail`:
    /// `INSERT INTO … VALUES` and `ON CONFLICT …`.
    pub(super) async fn insert(
        &mut self,
        head: &str,
        tail: &str,
        columns: usize,
        values: &[Value],
    ) -> Result<(), StoreError> {
        let numbered = matches!(self, Self::Postgres(..));
        let most = if numbered { POSTGRES_VALUES } else { SQLITE_VALUES };
        for part in values.chunks(most / columns * columns) {
            let mut sql = String::with_capacity(head.len() + tail.len() + 6 * part.len());
            sql.push_str(head);
            for number in 0..part.len() {
                sql.push_str(match number {
                    0 => " (",
                    _ if number % columns == 0 => "), (",
                    _ => ", ",
                });
                if numbered {
                    sql.push('$');
                    sql.push_str(&(number + 1).to_string());
                } else {
                    // SQLite compares a numbered parameter with all before it, which is slow.
                    sql.push('?');
                }
            }
            sql.push_str(") ");
            sql.push_str(tail);
            self.execute(&sql, part).await?;
        }
        Ok(())
    }

    /// Begins a write transaction.
    ///
    /// After an error there is no rollback: the caller must drop the connection.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        // A transaction that only reads at first may fail when it starts to write.
        let sql = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_, begun) => {
                *begun = true;
                "BEGIN"
            }
        };
        self.script(sql).await
    }

    /// Ends the transaction with all that it has done.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.script("COMMIT").await?;
        if let Self::Postgres(_, begun) = self {
            *begun = false;
        }
        Ok(())
    }

    /// How many statements stay prepared.
    #[cfg(test)]
    pub(super) fn prepared(&self) -> usize {
        match self {
            Self::Sqlite(conn) => conn.cached_statements_size(),
            Self::Postgres(conn, _) => conn.cached_statements_size(),
        }
    }

    /// Bytes that the store takes.
    pub(super) async fn size(&mut self) -> Result<i64, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Self::Postgres(..) => {
                "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS bigint) \
                 FROM pg_class WHERE relkind = 'r' AND relname IN ('vitalsign_instances', \
                 'vitalsign_checks', 'vitalsign_rollups', 'vitalsign_runs', 'vitalsign_changes', \
                 'vitalsign_incidents', 'vitalsign_reasons', 'vitalsign_heartbeats')"
            }
        };
        self.fetch(sql, &[]).await?.first().map_or(Ok(0), |row| row.int(0))
    }

    /// The expression of the bytes in `column` as hexadecimal digits, of either case.
    pub(super) fn hex(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("hex({column})"),
            Self::Postgres(..) => format!("encode({column}, 'hex')"),
        }
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        // An error is ignored: the connection is closed in any case.
        let _ = match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(conn, _) => conn.close().await,
        };
    }
}

/// Options of every SQLite connection.
fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    let options = options.busy_timeout(BUSY).foreign_keys(true);
    // A mebibyte, less than half of what it takes by default.
    options.pragma("cache_size", "-1024").disable_statement_logging()
}

/// The primary result code of SQLite, the low byte of the extended one.
fn code(error: &dyn DatabaseError) -> Option<u32> {
    let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    sqlite.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

/// SQLite's codes for a damaged file, and for a file that is not a database.
const CORRUPT: [u32; 2] = [11, 26];

/// SQLite's codes for a file that may not be used: no permission, read-only, cannot be opened.
const REFUSED: [u32; 4] = [3, 8, 14, 23];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) => {
                let text = redacted(inner.message()).into_owned();
                match code(inner.as_ref()) {
                    Some(code) if CORRUPT.contains(&code) => Self::Corrupt(text),
                    _ => Self::Trouble(text),
                }
            }
            sqlx::Error::Io(error) => Self::Trouble(redacted(&error.to_string()).into_owned()),
            other => Self::Trouble(redacted(&other.to_string()).into_owned()),
        }
    }
}

impl From<ConnectError> for StoreError {
    fn from(failed: ConnectError) -> Self {
        let place = failed.server.place();
        match failed.error {
            ServerError::Driver(error) => Self::Trouble(format!("{place}: {}", Self::from(error))),
            ServerError::WrongSession(text) => Self::Trouble(format!("{place}: {text}")),
            ServerError::TimedOut => Self::Trouble(format!("{place}: no answer in time")),
        }
    }
}

/// Why the file at `path` did not open: SQLite does not report it, so this tries to open the file.
fn opening(path: &Path, error: sqlx::Error) -> StoreError {
    let refused = match &error {
        sqlx::Error::Database(inner) => {
            code(inner.as_ref()).is_some_and(|code| REFUSED.contains(&code))
        }
        _ => false,
    };
    if !refused {
        return error.into();
    }
    let cause = std::fs::OpenOptions::new().append(true).create(true).open(path).err();
    let cause = cause.map_or_else(|| StoreError::from(error).to_string(), |e| e.to_string());
    HistoryError::CannotOpen { path: path.to_owned(), cause }.into()
}
