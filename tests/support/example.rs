//! An example, started as a process of its own on a free port.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::daemon::wait_for;
use super::http::{Answer, Client};

/// A running example; killed when dropped.
#[derive(Debug)]
pub(crate) struct Example {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Example {
    /// Starts the example `name` with these variables, and waits until it listens.
    pub(crate) fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(built(name));
        command.env_clear().env("LISTEN", "127.0.0.1:0").envs(variables.iter().copied());
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = address_after("listening on http://", &mut out);
        Self { child, out, address }
    }

    /// The address that its next line ends with, after `what`.
    pub(crate) fn next_address(&mut self, what: &str) -> SocketAddr {
        address_after(what, &mut self.out)
    }

    /// Asks on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        get_from(self.address, path).await
    }

    /// The structured status.
    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").await.body).expect("JSON")
    }

    /// Waits until `/ready` answers this.
    pub(crate) async fn ready_is(&self, status: u16, body: &str) {
        wait_for(&format!("/ready to be {status} {body}"), async || {
            let answer = self.get("/ready").await;
            answer.status == status && answer.body == body
        })
        .await;
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let mut ended = None;
        wait_for("the example to end", async || {
            ended = self.child.try_wait().expect("its state");
            ended.is_some()
        })
        .await;
        ended.expect("it has ended")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks at `address`, on a connection of its own.
pub(crate) async fn get_from(address: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(address).await;
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    client.send(head).await;
    client.answer().await.expect("an answer")
}

/// Reads a line that is `what` and an address.
fn address_after(what: &str, out: &mut BufReader<ChildStdout>) -> SocketAddr {
    let mut line = String::new();
    out.read_line(&mut line).expect("text");
    let address = line.trim().strip_prefix(what).map(str::parse);
    address.unwrap_or_else(|| panic!("the example says {line:?}")).expect("an address")
}

/// The program of an example.
///
/// `cargo test` builds the examples, but not when a single test target is asked for: then they are
/// built here, once, unless each is newer than its sources.
pub(crate) fn built(name: &str) -> PathBuf {
    static FRESH: OnceLock<()> = OnceLock::new();
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("the folder of the profile");
    let programs = profile.join("examples");
    FRESH.get_or_init(|| {
        if are_fresh(&programs) {
            return;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--tests", "--offline"]);
        if cfg!(feature = "tonic") {
            cargo.arg("--all-features");
        }
        let target = profile.parent().expect("the folder of all profiles");
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target);
        assert!(cargo.status().expect("cargo runs").success(), "the examples do not build");
    });
    programs.join(name)
}

/// Whether every example is in `programs`, newer than its own source and that of the library.
fn are_fresh(programs: &Path) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = newest(&root.join("src"));
    let sources = files(&root.join("examples")).into_iter();
    sources.filter(|source| source.extension().is_some_and(|e| e == "rs")).all(|source| {
        let program = programs.join(source.file_stem().expect("a name"));
        let built = program.metadata().and_then(|file| file.modified());
        built.is_ok_and(|at| at >= library.max(modified(&source)))
    })
}

/// When a file in `folder`, at whatever depth, last changed.
fn newest(folder: &Path) -> SystemTime {
    let changes = files(folder).into_iter();
    let changes = changes.map(|path| if path.is_dir() { newest(&path) } else { modified(&path) });
    changes.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    entries.map(|entry| entry.expect("a readable entry").path()).collect()
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|file| file.modified()).expect("when it changed")
}
