//! A MariaDB server of a test's own.
//!
//! ```ignore
//! let Some(mut server) = MariaDb::start().await else { return };
//! let url = server.url();
//! server.freeze();
//! ```

use std::path::Path;

use rustix::process::Signal;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;

use super::daemon::{
    Daemon, User, copy, free_port, left_out, server_dir, succeed, template, wait_for,
};

const SERVER: &str = "/usr/sbin/mariadbd";
const INSTALL: &str = "/usr/bin/mariadb-install-db";

/// A user with every privilege on the database `app`, and its password.
pub(crate) const USER: &str = "app";
/// A password that no other text holds, so that a test finds it wherever it leaks.
pub(crate) const PASSWORD: &str = "my-Pa55word";

/// A server on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct MariaDb {
    // Before the directory, so that the server is gone when that is removed.
    daemon: Option<Daemon>,
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl MariaDb {
    /// A fresh server that is ready; none, with a notice, where MariaDB is not installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// A fresh server with `settings` such as `max-connections=10`.
    pub(crate) async fn start_with(settings: &[&str]) -> Option<Self> {
        if !Path::new(SERVER).exists() || !Path::new(INSTALL).exists() {
            left_out("mariadb-server");
            return None;
        }
        let made = template("mariadb", install);
        let dir = server_dir();
        copy(&made.join("data"), &dir.path().join("data"));
        let setup = format!(
            "CREATE DATABASE IF NOT EXISTS app;\n\
             CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON app.* TO '{USER}'@'%';\n"
        );
        user().write(&dir.path().join("setup.sql"), &setup);
        let settings = settings.iter().map(|s| format!("--{s}")).collect();
        let mut server = Self { daemon: None, dir, port: free_port(), settings };
        server.run().await;
        Some(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// URL of the user `app` to the database `app`.
    pub(crate) fn url(&self) -> String {
        self.url_of(USER, PASSWORD, "app")
    }

    /// URL of another user, password or database.
    pub(crate) fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection of the superuser, over the socket.
    pub(crate) async fn connect(&self) -> Result<MySqlConnection, sqlx::Error> {
        let options = MySqlConnectOptions::new().socket(self.dir.path().join("socket"));
        options.username("root").ssl_mode(MySqlSslMode::Disabled).connect().await
    }

    /// Runs `sql` as the superuser.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut conn = self.connect().await.expect("to connect");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.expect("to execute");
        conn.close().await.expect("to close");
    }

    /// Sessions of the user `app`.
    pub(crate) async fn sessions(&self) -> i64 {
        let mut conn = self.connect().await.expect("to connect");
        let sql = "SELECT count(*) FROM information_schema.processlist WHERE user = 'app'";
        sqlx::raw_sql(sql).fetch_one(&mut conn).await.expect("a number").get(0)
    }

    /// Sessions that have not logged in yet.
    pub(crate) async fn unauthenticated(&self) -> i64 {
        let mut conn = self.connect().await.expect("to connect");
        let sql = "SELECT count(*) FROM information_schema.processlist \
                   WHERE user = 'unauthenticated user'";
        sqlx::raw_sql(sql).fetch_one(&mut conn).await.expect("a number").get(0)
    }

    /// A counter of the server since its start.
    pub(crate) async fn status(&self, name: &str) -> i64 {
        let mut conn = self.connect().await.expect("to connect");
        let sql = format!(
            "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
             WHERE variable_name = '{name}'"
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut conn).await.expect("a number");
        // A farewell, for one without is counted.
        conn.close().await.expect("to close");
        row.get(0)
    }

    /// Shuts down in an orderly way.
    pub(crate) async fn stop(&mut self) {
        self.daemon.take().expect("a running server").stop(Signal::TERM).await;
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().expect("a running server").kill();
    }

    /// Starts it again on the same port, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub(crate) async fn restart(&mut self) {
        drop(self.daemon.take());
        self.run().await;
    }

    /// Stops it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::CONT);
    }

    async fn run(&mut self) {
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let mut daemon = Daemon::start(self.command(), &self.dir.path().join("log"));
            wait_for("MariaDB to answer", async || !daemon.runs() || self.connect().await.is_ok())
                .await;
            if daemon.runs() {
                self.daemon = Some(daemon);
                return;
            }
            self.port = free_port();
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("MariaDB does not start: {log}");
    }

    fn command(&self) -> std::process::Command {
        let dir = self.dir.path();
        user().own(dir);
        let mut command = user().command(SERVER);
        command.arg("--no-defaults").arg(format!("--datadir={}", dir.join("data").display()));
        command.arg(format!("--socket={}", dir.join("socket").display()));
        command.arg(format!("--init-file={}", dir.join("setup.sql").display()));
        command.arg(format!("--port={}", self.port)).arg(format!("--tmpdir={}", dir.display()));
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", LOG_SIZE]);
        command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M"]);
        command.args(&self.settings);
        command
    }
}

const LOG_SIZE: &str = "--innodb-log-file-size=4M";

fn user() -> User {
    User::named("mysql")
}

fn install(dir: &Path) {
    user().own(dir);
    let mut install = user().command(INSTALL);
    install.arg("--no-defaults").arg(format!("--datadir={}", dir.join("data").display()));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", LOG_SIZE]);
    install.arg(format!("--tmpdir={}", dir.display()));
    succeed(install);
}
