//! Brings the tables of a store up to date.
//!
//! Applied migrations are recorded in a table in sqlx's format. A store that is up to date is only
//! read: a role without the right to create tables may use tables that another role created.
//! Missing migrations are applied in one transaction under a lock that ends with it, because behind
//! a pooler a lock of the session would outlive it.
//!
//! If all tables were dropped, but not the table of migrations, they are created again. If only
//! some were dropped, nothing is done: the others may contain data that is still needed.

use sqlx::migrate::Migrator;

use super::connection::Connection;
use super::error::{HistoryError, StoreError};
use super::value::Value;
use crate::model::log_targets;

/// Where the applied migrations are recorded; other programs may share the database.
const MIGRATIONS: &str = "vitalsign_migrations";

/// The tables of the newest schema.
const TABLES: [&str; 6] = [
    "vitalsign_instances",
    "vitalsign_checks",
    "vitalsign_rollups",
    "vitalsign_runs",
    "vitalsign_changes",
    "vitalsign_incidents",
];

/// State of a store's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Every table of the newest schema.
    Newest,
    /// The schema after this migration; 0 is none.
    After(i64),
    /// The record of migrations alone.
    Dropped,
}

/// Tables that were added without a new number of the schema.
///
/// A version that does not know them goes on without them, so that an upgrade can be undone. Only
/// what an older version would read or write wrongly gets a new number, which it refuses.
const ADDITIONS: [&str; 2] = ["vitalsign_reasons", "vitalsign_heartbeats"];

/// Makes the schema of `conn` the newest.
pub(super) async fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    migrate_numbered(conn).await?;
    if conn.tables(&ADDITIONS).await? == ADDITIONS.len() {
        return Ok(());
    }
    conn.begin().await?;
    conn.lock_schema().await?;
    let additions = match conn {
        Connection::Sqlite(_) => include_str!("additions/sqlite.sql"),
        Connection::Postgres(..) => include_str!("additions/postgres.sql"),
    };
    conn.script(additions).await?;
    conn.commit().await
}

/// Applies the migrations that are missing.
async fn migrate_numbered(conn: &mut Connection) -> Result<(), StoreError> {
    let migrator = conn.migrations();
    if find(conn, migrator).await? == Found::Newest {
        return Ok(());
    }
    conn.begin().await?;
    conn.lock_schema().await?;
    // Another instance may have been first.
    let from = match find(conn, migrator).await? {
        Found::Newest => return conn.commit().await,
        Found::After(version) => version,
        Found::Dropped => {
            tracing::warn!(
                target: log_targets::HISTORY,
                "the history's tables were dropped; they are made anew"
            );
            conn.execute(&format!("DELETE FROM {MIGRATIONS}"), &[]).await?;
            // Their rows are of instances and checks whose ids are given anew.
            for table in ADDITIONS {
                conn.execute(&format!("DROP TABLE IF EXISTS {table}"), &[]).await?;
            }
            0
        }
    };
    conn.execute(&conn.migrations_table(MIGRATIONS), &[]).await?;
    for migration in migrator.iter().filter(|migration| migration.version > from) {
        conn.script(migration.sql.as_str()).await?;
        let sql = format!(
            "INSERT INTO {MIGRATIONS} (version, description, success, checksum, execution_time) \
             VALUES ($1, $2, TRUE, $3, 0)"
        );
        let values = [
            migration.version.into(),
            migration.description.as_ref().into(),
            Value::Blob(migration.checksum.to_vec()),
        ];
        conn.execute(&sql, &values).await?;
    }
    conn.commit().await
}

async fn find(conn: &mut Connection, migrator: &Migrator) -> Result<Found, StoreError> {
    if conn.tables(&[MIGRATIONS]).await? == 0 {
        return Ok(Found::After(0));
    }
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let sql = format!("SELECT coalesce(max(version), 0) FROM {MIGRATIONS}");
    let rows = conn.fetch(&sql, &[]).await?;
    let found = rows.first().map_or(Ok(0), |row| row.int(0))?;
    if found > newest {
        return Err(HistoryError::Newer { found, known: newest }.into());
    }
    let tables = conn.tables(&TABLES).await?;
    match tables {
        _ if found < newest => Ok(Found::After(found)),
        0 => Ok(Found::Dropped),
        all if all == TABLES.len() => Ok(Found::Newest),
        some => Err(StoreError::Trouble(format!(
            "{some} of the history's {} tables are left; restore the others, or drop these too",
            TABLES.len()
        ))),
    }
}
