//! A connection to a store, SQLite or PostgreSQL, that speaks the same to both.
//!
//! Whatever is asked of a store is written once, in SQL that both understand; this module knows
//! how they differ.

use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection as _, Row as _};

use super::options::{HistoryError, Place};
use super::value::{StoreError, Value};

pub(super) use sqlx::postgres::PgConnectOptions as PostgresOptions;

/// Longest that a statement of SQLite waits for somebody else's lock.
const BUSY: Duration = Duration::from_secs(2);

/// Values that one statement may hold; SQLite takes 32,766, PostgreSQL 65,535.
const MAX_VALUES: usize = 4_096;

static SQLITE: Migrator = sqlx::migrate!("src/history/migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/history/migrations/postgres");

/// Where it is noted which migrations were applied; other programs may share the database.
const MIGRATIONS: &str = "vitalsign_migrations";

/// A connection of its own, not one of a pool.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
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
    /// Opens the store at `place` and brings its schema up to date.
    pub(super) async fn open(place: &Place) -> Result<Self, StoreError> {
        let mut conn = Self::connect(place).await?;
        conn.migrate().await?;
        Ok(conn)
    }

    /// Opens the store at `place`, whose schema is up to date.
    pub(super) async fn connect(place: &Place) -> Result<Self, StoreError> {
        match place {
            Place::Memory => {
                let options = SqliteConnectOptions::new().filename(":memory:");
                let conn = sqlite(options).connect().await?;
                Ok(Self::Sqlite(conn))
            }
            Place::File(path) => {
                let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
                // What was acknowledged survives even a loss of power; at one commit in ten
                // seconds that costs nothing to speak of.
                let options = sqlite(options)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .pragma("journal_size_limit", "4194304");
                options.connect().await.map(Self::Sqlite).map_err(|error| opening(path, error))
            }
            Place::Postgres(options) => {
                let options: &PostgresOptions = options;
                let options = options.clone().application_name("vitalsign history");
                let conn = options.disable_statement_logging().connect().await?;
                Ok(Self::Postgres(conn))
            }
        }
    }

    async fn migrate(&mut self) -> Result<(), StoreError> {
        let known = |migrator: &Migrator| {
            let mut migrator =
                Migrator { migrations: migrator.migrations.clone(), ..Migrator::DEFAULT };
            migrator.dangerous_set_table_name(MIGRATIONS);
            migrator
        };
        let (migrator, applied) = match self {
            Self::Sqlite(conn) => {
                let migrator = known(&SQLITE);
                let applied = migrator.run_direct(None, conn, false).await;
                (migrator, applied)
            }
            Self::Postgres(conn) => {
                let migrator = known(&POSTGRES);
                let applied = migrator.run_direct(None, conn, false).await;
                (migrator, applied)
            }
        };
        let newest = migrator.iter().map(|m| m.version).max().unwrap_or(0);
        match applied {
            Ok(()) => Ok(()),
            Err(MigrateError::VersionMissing(_)) => {
                let sql = format!("SELECT max(version) FROM {MIGRATIONS}");
                let rows = self.fetch(&sql, &[]).await?;
                let found = rows.first().map_or(Ok(newest + 1), |row| row.int(0))?;
                Err(HistoryError::Newer { found, known: newest }.into())
            }
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                Err(error.into())
            }
            Err(error) => Err(StoreError::Trouble(error.to_string())),
        }
    }

    /// Runs `sql`, whose parameters are `$1`, `$2`, … in both stores, or `?` from [`Self::insert`].
    pub(super) async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Sqlite(conn) => {
                let query = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                query.execute(conn).await?.rows_affected()
            }
            Self::Postgres(conn) => {
                let query = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                query.execute(conn).await?.rows_affected()
            }
        })
    }

    /// The rows that `sql` finds.
    pub(super) async fn fetch(
        &mut self,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Sqlite(conn) => {
                let query = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                query.fetch_all(conn).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(conn) => {
                let query = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                query.fetch_all(conn).await?.into_iter().map(Row::Postgres).collect()
            }
        })
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
        for part in values.chunks(MAX_VALUES / columns * columns) {
            let numbered = matches!(self, Self::Postgres(_));
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
                    // SQLite looks a numbered one up among all before it.
                    sql.push('?');
                }
            }
            sql.push_str(") ");
            sql.push_str(tail);
            self.execute(&sql, part).await?;
        }
        Ok(())
    }

    /// Begins a transaction that is going to write.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        // One that only reads at first would find, when it writes, that it is too late for that.
        let sql = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.execute(sql, &[]).await.map(drop)
    }

    /// Bytes that the store takes.
    pub(super) async fn size(&mut self) -> Result<i64, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Self::Postgres(_) => {
                "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS bigint) \
                 FROM pg_class WHERE relkind = 'r' AND relname IN ('vitalsign_instances', \
                 'vitalsign_checks', 'vitalsign_rollups', 'vitalsign_runs', 'vitalsign_changes', \
                 'vitalsign_incidents')"
            }
        };
        self.fetch(sql, &[]).await?.first().map_or(Ok(0), |row| row.int(0))
    }

    /// The expression of the bytes in `column` as hexadecimal digits, of either case.
    pub(super) fn hex(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("hex({column})"),
            Self::Postgres(_) => format!("encode({column}, 'hex')"),
        }
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        // It is gone either way.
        let _ = match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(conn) => conn.close().await,
        };
    }
}

/// What every connection to SQLite has in common.
fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    let options = options.busy_timeout(BUSY).foreign_keys(true);
    // A mebibyte, less than half of what it takes by default.
    options.pragma("cache_size", "-1024").disable_statement_logging()
}

impl Row {
    /// The number in a column.
    pub(super) fn int(&self, column: usize) -> Result<i64, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The number in a column, if there is one.
    pub(super) fn maybe_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The text in a column.
    pub(super) fn text(&self, column: usize) -> Result<String, StoreError> {
        self.maybe_text(column).map(Option::unwrap_or_default)
    }

    /// The text in a column, if there is one.
    pub(super) fn maybe_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The bytes in a column.
    pub(super) fn blob(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// The primary result code of SQLite, the low byte of the extended one.
fn code(error: &dyn DatabaseError) -> Option<u32> {
    let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    sqlite.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

/// SQLite's codes for a damaged file, and for one that is no database.
const CORRUPT: [u32; 2] = [11, 26];

/// SQLite's codes for a file that may not be used: no permission, read-only, cannot be opened.
const REFUSED: [u32; 4] = [3, 8, 14, 23];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) => {
                let text = inner.message().to_owned();
                match code(inner.as_ref()) {
                    Some(code) if CORRUPT.contains(&code) => Self::Corrupt(text),
                    _ => Self::Trouble(text),
                }
            }
            sqlx::Error::Io(error) => Self::Trouble(error.to_string()),
            other => Self::Trouble(other.to_string()),
        }
    }
}

/// Why the file at `path` did not open; `SQLite` does not tell the cause, the system does.
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
