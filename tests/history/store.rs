//! A store of a test's own: a SQLite file, or a database on a PostgreSQL server.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tempfile::TempDir;
use vitalsign::{History, HistoryOptions};

use crate::support::postgres::Postgres;

/// Long enough for whatever a busy machine does.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

pub(crate) enum Store {
    File(TempDir),
    /// A SQLite file at a place of the test's own.
    At(PathBuf),
    Server(Postgres),
}

impl Store {
    /// One of each kind that can be had here.
    pub(crate) async fn each() -> Vec<Self> {
        let server = Postgres::start().await.map(Self::Server);
        std::iter::once(Self::file()).chain(server).collect()
    }

    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(dir) => dir.path().join("history.db"),
            Self::At(path) => path.clone(),
            Self::Server(_) => panic!("it has no file"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(_) | Self::At(_) => format!("sqlite:{}", self.path().display()),
            Self::Server(server) => server.url(),
        }
    }

    pub(crate) fn options(&self, instance: &str) -> HistoryOptions {
        HistoryOptions::new(&self.url(), "orders", instance).expect("a URL")
    }

    pub(crate) async fn open(&self) -> History {
        self.open_as("one").await
    }

    pub(crate) async fn open_as(&self, instance: &str) -> History {
        History::open(self.options(instance)).await.expect("a history")
    }

    /// The number that a query finds.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::File(_) | Self::At(_) => {
                let sql = AssertSqlSafe(sql.to_owned());
                let row = sqlx::raw_sql(sql).fetch_one(&mut self.connect().await).await;
                row.expect("a number").get(0)
            }
            Self::Server(server) => server.number(sql).await,
        }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::File(_) | Self::At(_) => {
                let sql = AssertSqlSafe(sql.to_owned());
                sqlx::raw_sql(sql).execute(&mut self.connect().await).await.expect("to execute");
            }
            Self::Server(server) => server.execute(sql).await,
        }
    }

    /// A connection to the file.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        options.busy_timeout(PATIENT).connect().await.expect("to open the file")
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Server(_)) { "PostgreSQL" } else { "SQLite" })
    }
}
