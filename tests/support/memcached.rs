//! A memcached server of a test's own.
//!
//! ```ignore
//! let Some(server) = Memcached::start(&["-c", "8"], &[]).await else { return };
//! let address = server.address();
//! ```

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

const SERVER: &str = "/usr/bin/memcached";

/// A server on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Memcached {
    // Before the directory, so that the server is gone when that is removed.
    pub(crate) daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Memcached {
    /// A fresh server with further `arguments` and `files` in its directory, which is its working
    /// directory; none, with a notice, where memcached is not installed.
    pub(crate) async fn start(arguments: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            left_out("memcached");
            return None;
        }
        let user = User::named("memcache");
        let dir = server_dir();
        user.own(dir.path());
        for (name, text) in files {
            user.write(&dir.path().join(name), text);
        }
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let port = free_port();
            let mut command = user.command(SERVER);
            command.current_dir(dir.path()).args(["-l", "127.0.0.1", "-U", "0"]);
            command.args(["-p", &port.to_string()]).args(arguments);
            let mut daemon = Daemon::start(command, &dir.path().join("log"));
            let listens =
                async || !daemon.runs() || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            wait_for("memcached to listen", listens).await;
            if daemon.runs() {
                return Some(Self { daemon, dir, port });
            }
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("memcached does not start: {log}");
    }

    /// A fresh server on a Unix socket alone, and the path of that.
    pub(crate) async fn on_socket() -> Option<(Self, String)> {
        if !Path::new(SERVER).exists() {
            left_out("memcached");
            return None;
        }
        let user = User::named("memcache");
        let dir = server_dir();
        user.own(dir.path());
        let path = dir.path().join("memcached.sock");
        let mut command = user.command(SERVER);
        command.arg("-s").arg(&path).args(["-a", "777"]);
        let daemon = Daemon::start(command, &dir.path().join("log"));
        wait_for("memcached to listen", async || UnixStream::connect(&path).await.is_ok()).await;
        Some((Self { daemon, dir, port: 0 }, path.display().to_string()))
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("a log")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
}
