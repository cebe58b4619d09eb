//! A PgBouncer of a test's own, in front of a PostgreSQL server.

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};
use super::postgres::{PASSWORD, Postgres, USER};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    // Before the directory, so that the pooler is gone when that is removed.
    _daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl PgBouncer {
    /// A pooler with its defaults but for `settings`, such as `pool_mode = transaction`. Its
    /// database `app` is the one of `server`'s superuser, who may also ask its console.
    pub(crate) async fn start(server: &Postgres, settings: &[&str]) -> Option<Self> {
        if !std::path::Path::new(PROGRAM).exists() {
            left_out("pgbouncer");
            return None;
        }
        let dir = server_dir();
        user().own(dir.path());
        let port = free_port();
        let path = |name: &str| dir.path().join(name).display().to_string();
        user().write(&dir.path().join("users"), &format!("\"{USER}\" \"{PASSWORD}\"\n"));
        let settings = settings.join("\n");
        let ini = format!(
            "[databases]\n\
             app = host=127.0.0.1 port={} dbname=postgres user={USER} password={PASSWORD}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\nadmin_users = {USER}\n\
             logfile = {}\npidfile = {}\n{settings}\n",
            server.port(),
            path("users"),
            path("log"),
            path("pid"),
        );
        user().write(&dir.path().join("ini"), &ini);
        let mut command = user().command(PROGRAM);
        command.arg("-q").arg(dir.path().join("ini"));
        let daemon = Daemon::start(command, &dir.path().join("output"));
        wait_for("PgBouncer to listen", async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(Self { _daemon: daemon, dir, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// URL of the superuser to the server's database.
    pub(crate) fn url(&self) -> String {
        self.url_of(PASSWORD, "app")
    }

    /// URL with another password or database.
    pub(crate) fn url_of(&self, password: &str, database: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

fn user() -> User {
    User::named("postgres")
}
