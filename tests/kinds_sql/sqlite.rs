//! The `sqlite` kind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;
use vitalsign::checks::sqlite::pool;
use vitalsign::{Check, Detail, Reason};

use super::{LONGER, PLENTY, SHORT, ask, assert_failed, check, failure, refused};
use crate::support::daemon::wait_for;

const NO_SECRET: &str = "there is none";

fn of(path: &Path, more: &str) -> Arc<dyn Check> {
    check("sqlite", &format!("path = '{}'\n{more}", path.display()))
}

async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.expect("to open the database")
}

async fn database(sql: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("orders.db");
    let mut conn = open(&path).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.expect("to execute");
    conn.close().await.expect("to close");
    (dir, path)
}

#[tokio::test]
async fn a_database_answers_by_path_and_by_url() {
    let (_dir, path) = database("CREATE TABLE t (a)").await;
    let by_path = of(&path, "");
    assert_eq!((by_path.kind(), by_path.server()), ("sqlite", None));
    assert_eq!(ask(&*by_path, PLENTY).await, Ok(Detail::ok()));
    let url = format!("sqlite://{}?mode=ro", path.display());
    assert_eq!(ask(&*of(Path::new(&url), ""), PLENTY).await, Ok(Detail::ok()));
    assert_eq!(ask(&*of(Path::new(":memory:"), ""), PLENTY).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_missing_file_is_a_failure_unless_it_may_be_created() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("new.db");
    let missing = failure(&*of(&path, ""), PLENTY).await;
    assert_failed(&missing, Reason::Other, "No such file or directory", NO_SECRET);
    assert!(!path.exists());
    assert_eq!(ask(&*of(&path, "create = true"), PLENTY).await, Ok(Detail::ok()));
    assert!(path.exists());

    let nowhere = of(&dir.path().join("no/such/folder.db"), "create = true");
    let nowhere = failure(&*nowhere, PLENTY).await;
    assert_failed(&nowhere, Reason::Other, "No such file or directory", NO_SECRET);
    let folder = failure(&*of(dir.path(), ""), PLENTY).await;
    assert_failed(&folder, Reason::Other, "is a directory", NO_SECRET);
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_told() {
    if rustix::process::getuid().is_root() {
        // Root may read anything; a symbolic link to itself is as closed to it.
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("loop.db");
        std::os::unix::fs::symlink(&path, &path).expect("a link");
        let closed = failure(&*of(&path, ""), PLENTY).await;
        assert_failed(&closed, Reason::Other, "symbolic links", NO_SECRET);
        return;
    }
    let (_dir, path) = database("CREATE TABLE t (a)").await;
    fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("to close it");
    let closed = failure(&*of(&path, ""), PLENTY).await;
    assert_failed(&closed, Reason::Other, "Permission denied", NO_SECRET);
}

#[tokio::test]
async fn a_file_that_is_no_database_or_is_damaged_is_told() {
    let (dir, path) = database("CREATE TABLE t (a)").await;
    let text = dir.path().join("notes.txt");
    fs::write(&text, "not a database at all ".repeat(100)).expect("to write");
    let garbage = failure(&*of(&text, ""), PLENTY).await;
    assert_failed(&garbage, Reason::Protocol, "file is not a database", NO_SECRET);

    let mut bytes = fs::read(&path).expect("to read");
    bytes[100..200].fill(0xa5);
    fs::write(&path, bytes).expect("to damage it");
    let damaged = failure(&*of(&path, ""), PLENTY).await;
    assert_failed(&damaged, Reason::QueryFailed, "malformed", NO_SECRET);
}

#[tokio::test]
async fn a_locked_database_is_overloaded_before_the_deadline() {
    let (_dir, path) = database("CREATE TABLE t (a)").await;
    let mut writer = open(&path).await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut writer).await.expect("the lock");
    let locked = failure(&*of(&path, ""), SHORT).await;
    assert_failed(&locked, Reason::Overloaded, "database is locked", NO_SECRET);
    writer.close().await.expect("to close");
    assert_eq!(ask(&*of(&path, ""), PLENTY).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_query_must_work_and_return_the_rows_expected() {
    let (_dir, path) = database("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)").await;
    let rows = |rows| of(&path, &format!("query = 'SELECT a FROM t'\nexpect.rows = {rows}"));
    assert_eq!(ask(&*rows(3), PLENTY).await, Ok(Detail::ok()));
    let other = failure(&*rows(2), PLENTY).await;
    assert_failed(&other, Reason::UnexpectedBody, "returned 3 rows instead of 2", NO_SECRET);
    let broken = failure(&*of(&path, "query = 'SELECT * FROM nowhere'"), PLENTY).await;
    assert_failed(&broken, Reason::QueryFailed, "no such table: nowhere", NO_SECRET);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT i FROM n";
    let endless = failure(&*of(&path, &format!("query = {endless:?}")), PLENTY).await;
    assert_failed(&endless, Reason::TooLarge, "more than 10000 rows", NO_SECRET);
}

#[tokio::test]
async fn a_cancelled_query_frees_its_file_and_thread() {
    let (_dir, path) = database("CREATE TABLE t (a)").await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT max(i) FROM n";
    let check = of(&path, &format!("query = {endless:?}"));
    let late = failure(&*check, SHORT).await;
    assert_failed(&late, Reason::Timeout, "", NO_SECRET);
    wait_for("the file to be closed", async || !is_open(&path)).await;
}

/// Whether this process holds `path` open.
fn is_open(path: &Path) -> bool {
    let files = fs::read_dir("/proc/self/fd").expect("the open files");
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|target| target == path)
}

#[tokio::test]
async fn wrong_options_are_told_by_name() {
    for (options, path) in [
        ("path = ''", "path"),
        ("path = 'sqlite:a.db?cache=shared'", "path"),
        ("path = 'sqlite:a.db?mode=ro'\ncreate = true", "create"),
        ("path = 'a.db'\nquery = ''", "query"),
        ("path = 'a.db'\nurl = 'sqlite:a.db'", "url"),
    ] {
        let errors = refused("sqlite", options);
        assert_eq!(errors[0].path, path, "{errors:?}");
    }
}

#[tokio::test]
async fn a_pool_answers_and_an_exhausted_one_is_overloaded() {
    let options = SqlitePoolOptions::new().max_connections(1);
    let own = options.connect("sqlite::memory:").await.expect("a pool");
    let check = pool(own.clone());
    assert_eq!(ask(&check, PLENTY).await, Ok(Detail::ok()));
    let taken = own.acquire().await.expect("the only connection");
    let full = failure(&check, LONGER).await;
    assert_failed(&full, Reason::Overloaded, "all 1 connections are in use", NO_SECRET);
    drop(taken);
    assert_eq!(ask(&check, PLENTY).await, Ok(Detail::ok()));
}
