//! The binary itself, started in a directory of its own on a free port.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::daemon::wait_for;
use super::http::{Answer, Client};

/// Far longer than anything takes; a condition that never holds fails the test instead of
/// hanging it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command of the binary, with a clean environment and a directory of its own.
pub(crate) fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitalsign"));
    command.args(arguments).current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

/// Has a shell set a limit on descriptors before it becomes the command.
pub(crate) fn limited(command: &mut Command, limit: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().expect("its directory"));
    shell.env_clear().stdin(Stdio::null());
    *command = shell;
}

/// What a command that ends by itself printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Ended {
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A configuration that shows details to local clients, as the tests that read causes are, unless
/// it says itself who sees them.
pub(crate) fn seen_locally(config: &str) -> String {
    const LOOPBACK: &str = "details = \"loopback\"\n";
    let says_nothing = |line: &str| line.trim().is_empty() || line.starts_with('#');
    if config.lines().all(says_nothing) || config.contains("details =") {
        return config.to_owned();
    }
    match config.split_once("[server]\n") {
        Some((before, after)) => format!("{before}[server]\n{LOOPBACK}{after}"),
        None => format!("{config}\n[server]\n{LOOPBACK}"),
    }
}

/// The service, serving.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts it with a configuration of this text, or without one when it is empty.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, |_| {}).await
    }

    /// Starts it after `prepare` has had its way with the command.
    pub(crate) async fn start_with(config: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        if !config.is_empty() {
            let config = seen_locally(config);
            std::fs::write(dir.path().join("vitalsign.toml"), config).expect("the configuration");
        }
        Self::start_in(dir, prepare).await
    }

    /// Starts it in a directory that has all it needs, such as one that another was killed in.
    pub(crate) async fn start_in(dir: TempDir, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(dir.path(), &["--listen", "127.0.0.1:0"]);
        prepare(&mut command);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.lines().map_while(Result::ok) {
                    let mut log = log.lock().expect("nobody panics with it");
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Self { child, address: unknown, dir, log, reader: Some(reader) };
        service.address = service.listening().await;
        service
    }

    /// The address that the log names.
    async fn listening(&mut self) -> SocketAddr {
        let mut found = None;
        self.until("it says where it listens", |service| {
            let log = service.log();
            let line = log.lines().find(|line| line.contains(r#""message":"serving""#));
            found = line.map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
                line["address"].as_str().expect("an address").parse().expect("an address")
            });
            found.is_some()
        })
        .await;
        found.expect("it was found")
    }

    /// Waits until `condition` holds.
    async fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "{what}: it ended with {ended:?}:\n{}", self.log());
            assert!(Instant::now() < deadline, "{what}: not within a minute:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// The log's lines as JSON.
    pub(crate) fn log_lines(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        log.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// The first line of the log with this message, once it is there: what it tells of shows before.
    pub(crate) async fn logged(&self, message: &str) -> serde_json::Value {
        let mut found = None;
        wait_for(&format!("the line `{message}`"), async || {
            found = self.log_lines().into_iter().find(|line| line["message"] == message);
            found.is_some()
        })
        .await;
        found.expect("it was awaited")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers).await
    }

    /// Asks on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut client = Client::connect(self.address).await;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        client.send(head + "\r\n").await;
        let answer = if method == "HEAD" { client.head().await } else { client.answer().await };
        answer.expect("an answer")
    }

    /// Asks `path` until the answer is as wanted, and returns it.
    pub(crate) async fn get_until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            let (status, body) = (answer.status, &answer.body);
            assert!(Instant::now() < deadline, "{path} stays {status}: {body}\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `/ready` answers this.
    pub(crate) async fn ready_is(&self, status: u16, body: &str) {
        self.get_until("/ready", |answer| answer.status == status && answer.body == body).await;
    }

    /// The structured status.
    pub(crate) async fn status(&self) -> serde_json::Value {
        let answer = self.get("/status").await;
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// Kills it, so that it cannot write anything more, and leaves its directory.
    pub(crate) async fn killed(mut self) -> TempDir {
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"));
        self.signal(Signal::KILL);
        self.ended().await;
        dir
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("it is ours");
    }

    /// Waits for its end, and returns how it ended with all that it logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log ends with it");
        }
        let log = self.log();
        (status, log)
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) async fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ended().await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
