//! A Redis server of a test's own.
//!
//! ```ignore
//! let Some(mut server) = Redis::start().await else { return };
//! server.ask("SET orders 7").await;
//! let url = server.url();
//! server.freeze();
//! ```

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

const SERVER: &str = "/usr/bin/redis-server";

const SENTINEL_CONF: &str = "sentinel.conf";

/// A server on a loopback port, with a directory of its own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    // Before the directory, so that the server is gone when that is removed.
    daemon: Option<Daemon>,
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
    /// Whether it is a sentinel, which has a file of configuration that it writes to.
    is_sentinel: bool,
}

impl Redis {
    /// A fresh server that is ready; none, with a notice, where Redis is not installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[], &[]).await
    }

    /// A fresh server with `settings` such as `maxmemory 10mb` and `files` in its directory.
    pub(crate) async fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        Self::make(settings, files, false).await
    }

    /// A fresh sentinel with lines of configuration such as `sentinel monitor orders 127.0.0.1 6379 1`.
    pub(crate) async fn sentinel(configuration: &str) -> Option<Self> {
        Self::make(&[], &[(SENTINEL_CONF, configuration)], true).await
    }

    async fn make(settings: &[&str], files: &[(&str, &str)], is_sentinel: bool) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            left_out("redis-server");
            return None;
        }
        let dir = server_dir();
        user().own(dir.path());
        for (name, text) in files {
            user().write(&dir.path().join(name), text);
        }
        let settings = settings.iter().map(|&s| s.to_owned()).collect();
        let mut server = Self { daemon: None, dir, port: free_port(), settings, is_sentinel };
        server.restart(&[]).await;
        Some(server)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// URL without user and password.
    pub(crate) fn url(&self) -> String {
        self.url_of("")
    }

    /// URL with `credentials` such as `:password@`.
    pub(crate) fn url_of(&self, credentials: &str) -> String {
        format!("redis://{credentials}127.0.0.1:{}", self.port)
    }

    /// What the server answers to a command of one line, to the first end of a line; nothing if
    /// it does not take the connection.
    pub(crate) async fn ask(&self, command: &str) -> String {
        let mut answer = Vec::new();
        if let Ok(mut stream) = self.connect().await
            && stream.write_all(format!("{command}\r\n").as_bytes()).await.is_ok()
        {
            while !answer.ends_with(b"\n") && matches!(stream.read_buf(&mut answer).await, Ok(1..))
            {
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Everything that the server answers to `command`, such as `INFO stats`.
    pub(crate) async fn ask_all(&self, command: &str) -> String {
        let mut answer = Vec::new();
        let mut stream = self.connect().await.expect("a connection");
        stream.write_all(format!("{command}\r\n").as_bytes()).await.expect("to send");
        stream.shutdown().await.expect("to say that this is all");
        stream.read_to_end(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("a log")
    }

    /// The path of a file in its directory.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A connection that says nothing.
    pub(crate) async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).await
    }

    /// Shuts down and awaits the end.
    pub(crate) async fn stop(&mut self) {
        self.daemon().stop(Signal::TERM).await;
    }

    /// The process itself, for whoever ends it.
    pub(crate) fn daemon(&mut self) -> Daemon {
        self.daemon.take().expect("a running server")
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.daemon().kill();
    }

    /// Starts it again on the same port with further settings, until it answers anything.
    pub(crate) async fn restart(&mut self, more: &[&str]) {
        drop(self.daemon.take());
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let log = self.dir.path().join("log");
            let mut daemon = Daemon::start(self.command(more), &log);
            let answers = async || !daemon.runs() || !self.ask("PING").await.is_empty();
            wait_for("Redis to answer", answers).await;
            if daemon.runs() {
                self.daemon = Some(daemon);
                return;
            }
            self.port = free_port();
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("Redis does not start: {log}");
    }

    /// Stops it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.daemon.as_ref().expect("a running server").signal_all(Signal::CONT);
    }

    fn command(&self, more: &[&str]) -> std::process::Command {
        let mut command = user().command(SERVER);
        command.current_dir(self.dir.path());
        if self.is_sentinel {
            command.args([SENTINEL_CONF, "--sentinel", "--bind", "127.0.0.1"]);
            command.args(["--port", &self.port.to_string()]);
            return command;
        }
        // Without a name of a file, each argument of two dashes is a line of configuration.
        let defaults = ["bind 127.0.0.1", "save \"\"", "repl-diskless-sync-delay 0"];
        let settings = self.settings.iter().map(String::as_str);
        for setting in defaults.into_iter().chain(settings).chain(more.iter().copied()) {
            let (name, value) = setting.split_once(' ').expect("a name and a value");
            command.arg(format!("--{name}"));
            match value {
                "\"\"" => command.arg(""),
                value => command.args(value.split(' ')),
            };
        }
        command.args(["--port", &self.port.to_string()]);
        command
    }
}

fn user() -> User {
    User::named("redis")
}
