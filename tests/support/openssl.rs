//! Certificates and servers of OpenSSL, as administrators make them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::daemon::{Daemon, left_out, server_dir, succeed, wait_for};

/// A directory with keys `NAME.key` and certificates `NAME.pem`.
pub(crate) struct OpenSsl {
    dir: TempDir,
}

/// A server that shows a certificate on a loopback port, and ends with this value.
pub(crate) struct TlsServer {
    _daemon: Daemon,
    pub(crate) port: u16,
}

/// The names of this host.
pub(crate) const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

impl OpenSsl {
    /// An empty directory; none, with a notice, where OpenSSL is not installed.
    pub(crate) fn new() -> Option<Self> {
        let version = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
        if version.is_ok_and(|status| status.success()) {
            return Some(Self { dir: server_dir() });
        }
        left_out("openssl");
        None
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Lets servers that run as other users read all of it.
    pub(crate) fn readable(&self) {
        use std::os::unix::fs::PermissionsExt;
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
        };
        open(self.dir.path(), 0o755);
        for file in std::fs::read_dir(self.dir.path()).expect("a directory") {
            open(&file.expect("a file").path(), 0o644);
        }
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).expect("a file that was made")
    }

    /// Runs `openssl` with `line`, a word for each argument.
    pub(crate) fn run(&self, line: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(self.dir.path()).args(line.split_whitespace());
        succeed(command);
    }

    /// A self-signed certificate of the plain command of every how-to, with a key and more options.
    pub(crate) fn self_signed(&self, name: &str, key: &str, more: &str) {
        self.run(&format!(
            "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.pem -days 30 {more}"
        ));
    }

    /// A request, answered by `authority` with these lines of extensions and more options.
    pub(crate) fn issue(&self, name: &str, key: &str, authority: &str, lines: &[&str], more: &str) {
        self.run(&format!(
            "req -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN=localhost"
        ));
        std::fs::write(self.path("extensions"), lines.join("\n")).expect("to write");
        let extensions = if lines.is_empty() { "" } else { "-extfile extensions" };
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
             -days 20 -out {name}.pem {extensions} {more}"
        ));
    }

    /// Pages over TLS with the certificate and the key of `name`, and further options.
    pub(crate) async fn serve(&self, name: &str, more: &str) -> TlsServer {
        let mut command = Command::new("openssl");
        let options =
            format!("s_server -www -accept 127.0.0.1:0 -cert {name}.pem -key {name}.key {more}");
        command.current_dir(self.dir.path()).args(options.split_whitespace()).stdin(Stdio::null());
        let log = self.path(&format!("{name}.log"));
        let daemon = Daemon::start(command, &log);
        let mut port = None;
        wait_for("OpenSSL to listen", async || {
            port = listening(&log);
            port.is_some()
        })
        .await;
        TlsServer { _daemon: daemon, port: port.expect("it listens") }
    }
}

/// The port of the line `ACCEPT 127.0.0.1:4433`.
fn listening(log: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("ACCEPT "))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}
