//! The `sqlite` kind: opens a database file and runs one query.
//!
//! The driver has its own thread. A cancelled run interrupts the statement and so frees the thread;
//! waiting for a lock ends by itself before the deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use schemars::JsonSchema;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite};
use tokio::time::Instant;

use super::dialect::CANNOT_OPEN;
use crate::checks::sql::error::failure;
use crate::checks::sql::options::ExpectRows;
use crate::checks::sql::{Dialect, Question, Stage, Target, catch_driver_panic, count};
use crate::config::{ConfigPath, KindOptions, OptionError, Redaction};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Phase, Reason};

const MEMORY: &str = ":memory:";

/// Steps of SQLite's virtual machine between two looks at whether the run was cancelled: well
/// below a millisecond.
const STEPS: i32 = 1_000;

/// Opens a SQLite database and runs a query; optionally checks the number of rows.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteOptions {
    /// The database file, or `:memory:`. Also as a URL, `sqlite:orders.db` or
    /// `sqlite:///var/lib/orders.db`, with `?mode=` `ro`, `rw`, `rwc` or `memory`. A relative
    /// path is relative to the file that holds it.
    path: ConfigPath,
    /// The query. Default `SELECT count(*) FROM sqlite_schema`, which reads the file; `SELECT 1`
    /// would not.
    query: Option<String>,
    /// Expectations of the result.
    #[serde(default)]
    expect: ExpectRows,
    /// Create the file if it is missing. Default false: a missing file fails the run.
    #[serde(default)]
    create: bool,
}

impl KindOptions for SqliteOptions {
    const NAME: &'static str = "sqlite";
    const SUMMARY: &'static str = "open a SQLite database and ask a query";

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let question = Question::read::<Sqlite>(self.query, self.expect, &mut errors);
        let file = DatabaseFile::read(&self.path.0).unwrap_or_else(|message| {
            errors.push(OptionError::new("path", message));
            DatabaseFile { path: PathBuf::new(), mode: Mode::Existing }
        });
        if self.create && file.mode == Mode::ReadOnly {
            errors.push(OptionError::new("create", "the path says mode=ro; drop one of the two"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let options = SqliteConnectOptions::new()
            .filename(&file.path)
            .create_if_missing(self.create || file.mode == Mode::Create)
            .read_only(file.mode == Mode::ReadOnly)
            .disable_statement_logging();
        Ok(Arc::new(File { target: Sqlite::target(&options), options, question }))
    }
}

/// Where the database is and how it is opened.
#[derive(Debug, PartialEq, Eq)]
struct DatabaseFile {
    path: PathBuf,
    mode: Mode,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    ReadOnly,
    Existing,
    Create,
}

impl DatabaseFile {
    /// Reads a path or URL; a relative one may have been put below a folder by then.
    fn read(path: &Path) -> Result<Self, String> {
        let text = path.to_str().ok_or("the path is not UTF-8, as SQLite wants it")?;
        let start = match text.find("sqlite:") {
            Some(start) if start == 0 || text[..start].ends_with('/') => start,
            _ => return Self::of(Path::new(""), text, Mode::Existing),
        };
        let (folder, url) = text.split_at(start);
        let rest = &url["sqlite:".len()..];
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (name, query) = rest.split_once('?').unwrap_or((rest, "mode=rw"));
        match query {
            "mode=rw" => Self::of(Path::new(folder), name, Mode::Existing),
            "mode=rwc" => Self::of(Path::new(folder), name, Mode::Create),
            "mode=ro" => Self::of(Path::new(folder), name, Mode::ReadOnly),
            "mode=memory" => Self::of(Path::new(""), MEMORY, Mode::Existing),
            _ => Err("only mode is known after the ?; right are mode=ro, rw, rwc or memory".into()),
        }
    }

    fn of(folder: &Path, name: &str, mode: Mode) -> Result<Self, String> {
        if name.is_empty() {
            return Err("no file is named; right is a path or :memory:".into());
        }
        let in_memory = name == MEMORY || name.ends_with("/:memory:");
        let path = if in_memory { MEMORY.into() } else { folder.join(name) };
        Ok(Self { path, mode })
    }
}

/// Asks a database file.
struct File {
    options: SqliteConnectOptions,
    target: Target,
    question: Question,
}

impl File {
    async fn open(&self, cx: &Context) -> Result<SqliteConnection, Failure> {
        // A quarter of the time is left to report that it was locked.
        let options = self.options.clone().busy_timeout(cx.remaining() / 4 * 3);
        match catch_driver_panic(options.connect()).await {
            Ok(conn) => Ok(conn),
            Err(error) => Err(self.failure(cx, Stage::Connect, error).await),
        }
    }

    async fn failure(&self, cx: &Context, stage: Stage, error: sqlx::Error) -> Failure {
        let path = self.options.get_filename();
        let step = match stage {
            Stage::Connect => "open",
            Stage::Query => "query",
        };
        let step = format!("{step} {}", path.display());
        let code = error.as_database_error().and_then(DatabaseError::code);
        let code = code.and_then(|code| code.parse::<u16>().ok()).unwrap_or(0);
        let failure = failure::<Sqlite>(&Redaction::default(), cx, stage, &step, &error);
        if code & 0xff != CANNOT_OPEN {
            return failure;
        }
        // SQLite does not report the cause, so this tries to open the file.
        match cause(path).await {
            Some(cause) => Failure::new(Reason::of_io(&cause), format!("{step}: {cause}")),
            None => failure,
        }
    }

    async fn call(&self, cx: &Context) -> Result<Detail, Failure> {
        let mut conn = cx.phase(Phase::Connect, self.open(cx)).await?;
        let cancelled = Cancel::default();
        if let Err(error) = catch_driver_panic(cancelled.watch(&mut conn, cx.deadline())).await {
            return Err(self.failure(cx, Stage::Connect, error).await);
        }
        let asked = catch_driver_panic(count::<Sqlite>(&mut conn, self.question.sql.clone()));
        let rows = cx.phase(Phase::Request, asked).await;
        let verdict = match rows {
            Ok(rows) => self.question.judge(rows).map(|()| Detail::ok()),
            Err(error) => Err(self.failure(cx, Stage::Query, error).await),
        };
        let _ = tokio::time::timeout(cx.remaining() / 2, catch_driver_panic(conn.close())).await;
        verdict
    }
}

/// Why the file cannot be opened, in the words of the system.
async fn cause(path: &Path) -> Option<io::Error> {
    match tokio::fs::metadata(path).await {
        Ok(found) if found.is_dir() => Some(io::ErrorKind::IsADirectory.into()),
        Ok(_) => tokio::fs::File::open(path).await.err(),
        Err(error) => Some(error),
    }
}

/// Signals the driver's thread that the run was cancelled: it is set when it is dropped with the
/// run.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Interrupts a statement of `conn` once this is dropped or `deadline` has passed.
    async fn watch(
        &self,
        conn: &mut SqliteConnection,
        deadline: Instant,
    ) -> Result<(), sqlx::Error> {
        let cancelled = Arc::clone(&self.0);
        conn.lock_handle().await?.set_progress_handler(STEPS, move || {
            !cancelled.load(Ordering::Relaxed) && Instant::now() < deadline
        });
        Ok(())
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Check for File {
    fn kind(&self) -> &'static str {
        Sqlite::KIND
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let name = self.target.span_name(&self.question);
        cx.client(&name, self.target.attributes(&self.question), self.call(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_written_as_a_url() {
        let read = |text: &str| {
            DatabaseFile::read(Path::new(text)).map(|l| (l.path.display().to_string(), l.mode))
        };
        let existing = |path: &str| Ok((path.to_owned(), Mode::Existing));
        assert_eq!(read("a.db"), existing("a.db"));
        assert_eq!(read("sqlite:a.db"), existing("a.db"));
        assert_eq!(read("sqlite://a.db"), existing("a.db"));
        assert_eq!(read("sqlite:///var/a.db"), existing("/var/a.db"));
        assert_eq!(read("/etc/vs/sqlite:a.db"), existing("/etc/vs/a.db"));
        assert_eq!(read("/etc/vs/sqlite:///var/a.db"), existing("/var/a.db"));
        assert_eq!(read("/etc/vs/:memory:"), existing(MEMORY));
        assert_eq!(read("sqlite::memory:"), existing(MEMORY));
        assert_eq!(read("/etc/sqlite:x?mode=memory"), existing(MEMORY));
        assert_eq!(read("sqlite:a.db?mode=rwc"), Ok(("a.db".into(), Mode::Create)));
        assert_eq!(read("sqlite:a.db?mode=ro"), Ok(("a.db".into(), Mode::ReadOnly)));
        assert!(read("sqlite:a.db?cache=shared").is_err());
        assert!(read("").is_err() && read("sqlite:").is_err());
    }
}
