//! A PostgreSQL server of a test's own.
//!
//! ```ignore
//! let Some(mut server) = Postgres::start().await else { return };
//! server.execute("CREATE TABLE orders (id int)").await;
//! let url = server.url();
//! server.freeze();
//! ```

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;

use super::daemon::{
    Daemon, User, copy, free_port, left_out, server_dir, succeed, template, wait_for,
};

/// The superuser and its password.
pub(crate) const USER: &str = "postgres";
/// A password that no other text holds, so that a test finds it wherever it leaks.
pub(crate) const PASSWORD: &str = "pg-Pa55word";

/// A server on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    // Before the directory, so that the server is gone when that is removed.
    daemon: Option<Daemon>,
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Postgres {
    /// A fresh server that is ready; none, with a notice, where Postgres is not installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[], &[]).await
    }

    /// A fresh server with `settings` such as `max_connections=5` and `files` in its data
    /// directory.
    pub(crate) async fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let bin = installed()?;
        let made = template("postgres", |dir| initdb(&bin, dir));
        let dir = server_dir();
        copy(&made.join("data"), &dir.path().join("data"));
        for (name, text) in files {
            user().write(&dir.path().join("data").join(name), text);
        }
        let settings = settings.iter().map(|&s| s.to_owned()).collect();
        let mut server = Self { daemon: None, dir, port: free_port(), settings };
        server.run(&bin).await;
        Some(server)
    }

    /// A replica of this server that streams from it.
    pub(crate) async fn standby(&self) -> Self {
        let mut server = self.backup();
        server.restart().await;
        server
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A replica that takes connections only to refuse them, for it serves no queries: this
    /// server must have been started with `hot_standby=off`.
    pub(crate) fn standby_without_queries(&self) -> Self {
        let mut server = self.backup();
        let bin = installed().expect("the binaries that started the primary");
        let log = server.dir.path().join("log");
        server.daemon = Some(Daemon::start(server.command(&bin), &log));
        server
    }

    /// A copy of this server's data that is set up as its replica, not yet running.
    fn backup(&self) -> Self {
        let bin = installed().expect("the binaries that started the primary");
        let dir = server_dir();
        user().own(dir.path());
        let mut backup = user().command(bin.join("pg_basebackup"));
        backup.arg("--dbname").arg(self.url()).arg("--pgdata").arg(dir.path().join("data"));
        backup.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync", "-R"]);
        succeed(backup);
        Self { daemon: None, dir, port: free_port(), settings: self.settings.clone() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// URL of the superuser to the database `postgres`.
    pub(crate) fn url(&self) -> String {
        self.url_of(USER, PASSWORD, "postgres")
    }

    /// URL of another user, password or database.
    pub(crate) fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Directory of the server's socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// A connection of the superuser.
    pub(crate) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        let options = options.username(USER).password(PASSWORD).database("postgres");
        options.ssl_mode(PgSslMode::Disable).connect().await
    }

    /// Runs `sql` as the superuser.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut conn = self.connect().await.expect("to connect");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.expect("to execute");
        conn.close().await.expect("to close");
    }

    /// The first column of the first row of `sql`, cast to an integer there.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut conn = self.connect().await.expect("to connect");
        let sql = AssertSqlSafe(format!("SELECT ({sql})::bigint"));
        let row = sqlx::raw_sql(sql).fetch_one(&mut conn).await.expect("a number");
        row.get(0)
    }

    /// Sessions of clients other than the one that asks, with `query` in what they do.
    pub(crate) async fn sessions(&self, query: &str) -> i64 {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
             AND pid <> pg_backend_pid() AND query LIKE '%{query}%'"
        );
        self.number(&sql).await
    }

    /// Shuts down in an orderly way, without waiting for clients.
    pub(crate) async fn stop(&mut self) {
        // SIGINT is Postgres' fast shutdown; SIGTERM would wait for every client to leave.
        self.daemon.take().expect("a running server").stop(Signal::INT).await;
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().expect("a running server").kill();
    }

    /// Starts it again on the same port, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub(crate) async fn restart(&mut self) {
        drop(self.daemon.take());
        self.run(&installed().expect("the binaries that started it before")).await;
    }

    /// Stops every process of it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::CONT);
    }

    async fn run(&mut self, bin: &Path) {
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let mut daemon = Daemon::start(self.command(bin), &self.dir.path().join("log"));
            wait_for("Postgres to answer", async || !daemon.runs() || self.connect().await.is_ok())
                .await;
            if daemon.runs() {
                self.daemon = Some(daemon);
                return;
            }
            self.port = free_port();
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("Postgres does not start: {log}");
    }

    fn command(&self, bin: &Path) -> std::process::Command {
        user().own(self.dir.path());
        let mut command = user().command(bin.join("postgres"));
        command.arg("-D").arg(self.dir.path().join("data"));
        command.arg("-k").arg(self.dir.path()).args(["-p", &self.port.to_string()]);
        let defaults = ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=1MB"];
        for setting in defaults.iter().copied().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command
    }
}

fn user() -> User {
    User::named("postgres")
}

/// Where the newest installed version keeps its programs.
fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten();
    let bins = versions.filter_map(|v| Some(v.ok()?.path().join("bin")));
    let found = bins.filter(|bin| bin.join("postgres").exists()).max();
    if found.is_none() {
        left_out("postgresql");
    }
    found
}

fn initdb(bin: &Path, dir: &Path) {
    user().own(dir);
    let password = dir.join("password");
    user().write(&password, PASSWORD);
    let mut initdb = user().command(bin.join("initdb"));
    initdb.arg("-D").arg(dir.join("data")).arg("--pwfile").arg(&password);
    initdb.args(["--username", USER, "--auth-local=trust", "--auth-host=scram-sha-256"]);
    initdb.args(["--no-sync", "--locale=C", "--encoding=UTF8", "--wal-segsize=1"]);
    succeed(initdb);
}
