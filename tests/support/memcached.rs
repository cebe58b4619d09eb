//! A memcached server of a test's own.
//!
//! ```ignore
//! let Some(mut server) = Memcached::start(&["-c", "8"], &[]).await else { return };
//! let address = server.address();
//! server.freeze();
//! ```

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

const SERVER: &str = "/usr/bin/memcached";

/// A server on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Memcached {
    // Before the directory, so that the server is gone when that is removed.
    daemon: Option<Daemon>,
    _dir: TempDir,
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
                return Some(Self { daemon: Some(daemon), _dir: dir, port });
            }
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("memcached does not start: {log}");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Shuts down and awaits the end.
    pub(crate) async fn stop(&mut self) {
        self.daemon.take().expect("a running server").stop(Signal::TERM).await;
    }

    /// Stops it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::CONT);
    }
}
