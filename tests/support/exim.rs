//! A mail server of Debian's, exim, that offers TLS and keeps a log.

use std::path::Path;

use tempfile::{NamedTempFile, TempDir};
use tokio::net::TcpStream;

use super::certs::{Authority, file};
use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

const SERVER: &str = "/usr/sbin/exim4";

/// A server on a port that begins without TLS and on one with it; gone when dropped.
pub(crate) struct Exim {
    // Before the directory, so that the server is gone when that is removed.
    _daemon: Daemon,
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    /// The authority that its certificate is of.
    pub(crate) ca: NamedTempFile,
    dir: TempDir,
}

impl Exim {
    /// A fresh server that is ready; none, with a notice, where exim is not installed.
    pub(crate) async fn start() -> Option<Self> {
        if !Path::new(SERVER).exists() {
            left_out("exim4");
            return None;
        }
        let authority = Authority::new();
        let identity = authority.issue("127.0.0.1");
        let (user, dir) = (User::named("Debian-exim"), server_dir());
        user.own(dir.path());
        for (name, text) in [("cert.pem", &identity.cert), ("key.pem", &identity.key)] {
            user.write(&dir.path().join(name), text);
        }
        let [plain, tls] = [free_port(), free_port()];
        let configuration = format!(
            "primary_hostname = mail.test\nspool_directory = {dir}/spool\n\
             log_file_path = {dir}/%slog\nkeep_environment =\ntls_advertise_hosts = *\n\
             tls_certificate = {dir}/cert.pem\ntls_privatekey = {dir}/key.pem\n\
             tls_on_connect_ports = {tls}\n",
            dir = dir.path().display()
        );
        // It refuses one that anybody but root or its own user may write to.
        User::own_self().write(&dir.path().join("conf"), &configuration);
        user.own(&dir.path().join("conf"));
        let mut command = user.command(SERVER);
        command.arg("-C").arg(dir.path().join("conf")).args(["-bdf", "-oX"]);
        command.arg(format!("<; [127.0.0.1]:{plain}; [127.0.0.1]:{tls}"));
        command.arg("-oP").arg(dir.path().join("pid"));
        let mut daemon = Daemon::start(command, &dir.path().join("out"));
        wait_for("exim to listen", async || {
            let log = || std::fs::read_to_string(dir.path().join("mainlog")).unwrap_or_default();
            assert!(daemon.runs(), "exim does not start: {}", log());
            TcpStream::connect(("127.0.0.1", plain)).await.is_ok()
        })
        .await;
        Some(Self { _daemon: daemon, plain, tls, ca: file(&authority.pem), dir })
    }

    /// What it has logged so far, of connections and of errors.
    pub(crate) fn log(&self) -> String {
        let logs = ["mainlog", "paniclog", "rejectlog"].map(|name| self.dir.path().join(name));
        logs.map(|log| std::fs::read_to_string(log).unwrap_or_default()).concat()
    }
}
