//! A BIND name server of a test's own.

use std::path::Path;

use tempfile::TempDir;

use super::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

const SERVER: &str = "/usr/sbin/named";

/// A server on a loopback port that knows one zone, `orders.test`, and asks nobody else.
#[derive(Debug)]
pub(crate) struct Named {
    // Before the directory, so that the server is gone when that is removed.
    _daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Named {
    /// A server that answers, with these records in its zone; none, with a notice, where BIND is
    /// not installed. Beside it there is `broken.test`, whose zone file is missing.
    pub(crate) async fn start(records: &str) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            left_out("bind9");
            return None;
        }
        let (dir, user) = (server_dir(), User::named("bind"));
        user.own(dir.path());
        let soa = "@ IN SOA ns1 admin 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.0.0.1";
        let zone = format!("$TTL 300\n{soa}\n{records}\n");
        user.write(&dir.path().join("orders.test"), &zone);
        // The port was free a moment ago; should another have taken it, the next one will do.
        for _ in 0..5 {
            let port = free_port();
            let config = dir.path().join("named.conf");
            user.write(&config, &configuration(dir.path(), port));
            let mut command = user.command(SERVER);
            command.args(["-g", "-n", "1", "-c"]).arg(config);
            let mut daemon = Daemon::start(command, &dir.path().join("log"));
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            let ready = async || !daemon.runs() || log().lines().any(|l| l.ends_with(" running"));
            wait_for("BIND to load its zones", ready).await;
            // Without one of its sockets it runs on; the port may be another's then.
            if daemon.runs() && !log().contains("address in use") {
                return Some(Self { _daemon: daemon, dir, port });
            }
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("BIND does not start: {log}");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Where it listens, as the option `resolver`.
    pub(crate) fn resolver(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "options {{\n\
           directory \"{dir}\"; managed-keys-directory \"{dir}\"; pid-file none;\n\
           session-keyfile \"{dir}/session.key\"; lock-file none;\n\
           listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
           recursion no; dnssec-validation no; minimal-responses yes;\n\
         }};\n\
         controls {{ }};\n\
         zone \"orders.test\" {{ type primary; file \"orders.test\"; }};\n\
         zone \"broken.test\" {{ type primary; file \"missing\"; }};\n"
    )
}
