//! Processes on loopback, and what the kernel counts of them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::load;

/// Variable by which this program is told to be one of the bare ones.
pub(super) const ROLE: &str = "BESIDE_ROLE";

/// A process that is stopped with this value.
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
    /// From start to its first answer.
    pub(super) started_within: Duration,
    _directory: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        // What cannot be killed has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// One of the bare programs, which says where it listens.
    pub(super) fn anchor(role: &str, args: &[String]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(ROLE, role).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().parse().expect("an address");
        Self { child, address, started_within: Duration::ZERO, _directory: directory }
    }

    /// The service with these checks, once it answers.
    pub(super) async fn service(checks: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let address = address.expect("a free port");
        let file = directory.path().join("vitalsign.toml");
        fs::write(&file, format!("[server]\nlisten = \"{address}\"\n{checks}")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitalsign"));
        command.arg("--config").arg(&file).current_dir(directory.path());
        let started = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("the service starts");
        while !load::answers(address).await {
            assert!(started.elapsed() < Duration::from_secs(30), "the service does not answer");
            sleep(Duration::from_millis(1)).await;
        }
        Self { child, address, started_within: started.elapsed(), _directory: directory }
    }

    /// Seconds of CPU that it has taken.
    pub(super) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("the form of the kernel");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
        // The kernel shows hundredths of a second on every architecture.
        ticks / 100.0
    }

    /// Resident memory in MiB.
    pub(super) fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.expect("a number") / 1024.0
    }
}
