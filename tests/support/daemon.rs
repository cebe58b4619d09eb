//! A server program under test: started as its own user, stopped by its process id.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// Longest a server may take to start or stop on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Says that `program` is missing: loudly on stderr, or by failing where every server is wanted.
pub(crate) fn left_out(program: &str) {
    let message = format!("LEFT OUT: {program} is not installed");
    assert!(std::env::var_os("VITALSIGN_REQUIRE_SERVERS").is_none_or(|v| v != "1"), "{message}");
    // Not eprintln!, which the test harness keeps to itself while tests pass.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// A loopback port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback listener");
    listener.local_addr().expect("its address").port()
}

/// Awaits `condition`, asking every few milliseconds.
///
/// # Panics
/// When it does not come true within [`PATIENCE`].
pub(crate) async fn wait_for(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The user that a server runs as: the one named when we are root, which most servers refuse to
/// run as, else ourselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User(Option<(u32, u32)>);

impl User {
    /// Whoever runs the tests.
    pub(crate) const fn own_self() -> Self {
        Self(None)
    }

    pub(crate) fn named(name: &str) -> Self {
        if !rustix::process::getuid().is_root() {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").expect("the list of users");
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let user = users.lines().map(fields).find(|f| f[0] == name).expect("the server's user");
        Self(Some((user[2].parse().expect("a uid"), user[3].parse().expect("a gid"))))
    }

    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command.stdin(Stdio::null()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    pub(crate) fn own(self, path: &Path) {
        if let Some((uid, gid)) = self.0 {
            chown(path, Some(uid), Some(gid)).expect("to change the owner");
        }
    }

    /// Writes a file that this user alone can read, as servers want their keys to be.
    pub(crate) fn write(self, path: &Path, text: &str) {
        fs::write(path, text).expect("to write a file of the server");
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("to restrict it");
        self.own(path);
    }
}

/// Runs a command to its end.
///
/// # Panics
/// With its output, when it fails.
pub(crate) fn succeed(mut command: Command) {
    let Output { status, stdout, stderr } = command.output().expect("to run a command");
    let text = [stdout, stderr].concat();
    assert!(status.success(), "{command:?}: {status}\n{}", String::from_utf8_lossy(&text));
}

/// A directory made once by `make` and kept between test runs; a test copies it.
pub(crate) fn template(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !kept.exists() {
        let fresh = server_dir();
        make(fresh.path());
        let partial = kept.with_extension(std::process::id().to_string());
        copy(fresh.path(), &partial);
        // Another test process may have been first; its template is as good.
        if fs::rename(&partial, &kept).is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
    }
    kept
}

/// A temporary directory that the server's user can enter.
pub(crate) fn server_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("vitalsign-").tempdir().expect("a directory");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("to open it");
    dir
}

/// Copies a directory with its owners and permissions.
pub(crate) fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.arg("--archive").arg("--no-target-directory").arg(from).arg(to);
    succeed(cp);
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts `command`; what it prints goes to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = fs::File::create(log).expect("a log file");
        command.stdout(log.try_clone().expect("the log file again")).stderr(log);
        Self(command.spawn().expect("to start the server"))
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().expect("to ask for its state").is_none()
    }

    /// Sends `signal` and awaits the end.
    pub(crate) async fn stop(mut self, signal: Signal) {
        self.signal(self.pid(), signal);
        wait_for("the server to stop", async || !self.runs()).await;
    }

    /// Stops every process of it in its tracks, or lets them go on.
    pub(crate) fn signal_all(&self, signal: Signal) {
        // The parent first, so that it starts no other child in between.
        self.signal(self.pid(), signal);
        for child in self.children() {
            self.signal(child, signal);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    #[expect(clippy::unused_self, reason = "only processes of this server are signalled")]
    fn signal(&self, pid: Pid, signal: Signal) {
        let _ = kill_process(pid, signal);
    }

    /// Its children, which servers such as Postgres put into sessions of their own.
    fn children(&self) -> Vec<Pid> {
        let parent = self.0.id().to_string();
        let processes = fs::read_dir("/proc").expect("the list of processes");
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_child = |id: &i32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // After the name, which may hold spaces and parentheses: state, then parent.
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1))
                == Some(parent.as_str())
        };
        ids.filter(is_child).filter_map(Pid::from_raw).collect()
    }

    /// Kills every process of it at once.
    pub(crate) fn kill(&mut self) {
        let children = self.children();
        self.signal(self.pid(), Signal::KILL);
        for child in children {
            self.signal(child, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            self.kill();
        }
    }
}
