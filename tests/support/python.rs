//! Programs in Python that somebody else wrote: servers, and clients of ours.

use std::ffi::OsString;

use tempfile::{NamedTempFile, TempDir};
use tokio::net::TcpStream;

use super::certs::{Authority, file};
use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

/// The interpreter that has `package`; none, with a notice, where no variable names it.
pub(crate) fn interpreter(package: &str) -> Option<OsString> {
    let python = std::env::var_os("VITALSIGN_PYTHON");
    if python.is_none() {
        left_out(&format!("{package} (PyPI; VITALSIGN_PYTHON names the interpreter)"));
    }
    python
}

/// A server of 127.0.0.1 on a port that begins without TLS and on one with it; gone when dropped.
pub(crate) struct Server {
    // Before the directory, so that the server is gone when that is removed.
    pub(crate) daemon: Daemon,
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    /// The authority that its certificate is of.
    pub(crate) ca: NamedTempFile,
    _dir: TempDir,
}

impl Server {
    /// Starts `script`, of this folder and made of `package`, with the ports, the certificate, its
    /// key, and the user and password that it lets in.
    pub(crate) async fn start(package: &str, script: &str, login: [&str; 2]) -> Option<Self> {
        let python = interpreter(package)?;
        let authority = Authority::new();
        let identity = authority.issue("127.0.0.1");
        let (user, dir) = (User::own_self(), server_dir());
        let [cert, key] =
            [("cert.pem", &identity.cert), ("key.pem", &identity.key)].map(|(name, pem)| {
                let path = dir.path().join(name);
                user.write(&path, pem);
                path
            });
        let [plain, tls] = [free_port(), free_port()];
        let mut command = user.command(python);
        command.arg(format!("{}/tests/support/{script}", env!("CARGO_MANIFEST_DIR")));
        command.args([plain.to_string(), tls.to_string()]).args([cert, key]).args(login);
        let mut daemon = Daemon::start(command, &dir.path().join("log"));
        wait_for(&format!("{package} to listen"), async || {
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(daemon.runs(), "{package} does not start: {}", log());
            TcpStream::connect(("127.0.0.1", tls)).await.is_ok()
        })
        .await;
        Some(Self { daemon, plain, tls, ca: file(&authority.pem), _dir: dir })
    }
}
