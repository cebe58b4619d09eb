//! Healthy servers of kinds without a server of their own module, asked again and again: they log
//! nothing against this host.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::certs::{Authority, file};
use crate::support::checks::{OFTEN, ask_often, check};
use crate::support::daemon::{Daemon, free_port, left_out, server_dir, wait_for};
use crate::support::named::Named;

const NGINX: &str = "/usr/sbin/nginx";

/// nginx with a page without TLS and with it, which logs all that it has to say of its clients.
struct Nginx {
    // Before the directory, so that the server is gone when that is removed.
    _daemon: Daemon,
    dir: TempDir,
    plain: u16,
    tls: u16,
}

impl Nginx {
    async fn start(cert: &str, key: &str) -> Option<Self> {
        if !Path::new(NGINX).exists() {
            left_out("nginx");
            return None;
        }
        let (dir, plain, tls) = (server_dir(), free_port(), free_port());
        let folder = dir.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        // At this level it logs TLS that fails, and connections that end early.
        let text = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/errors info;\n\
             events {{}}\nhttp {{\naccess_log {folder}/requests;\n{temporary}server {{\n\
             listen 127.0.0.1:{plain};\nlisten 127.0.0.1:{tls} ssl;\n\
             ssl_certificate {folder}/cert.pem;\nssl_certificate_key {folder}/key.pem;\n\
             location / {{ return 200 \"up\"; }}\n}}\n}}\n"
        );
        for (name, text) in [("nginx.conf", &*text), ("cert.pem", cert), ("key.pem", key)] {
            std::fs::write(dir.path().join(name), text).expect("to write");
        }
        let mut command = Command::new(NGINX);
        command.args(["-e", "stderr", "-c"]).arg(dir.path().join("nginx.conf"));
        let daemon = Daemon::start(command, &dir.path().join("log"));
        let server = Self { _daemon: daemon, dir, plain, tls };
        // That a client connected and left is the first line of its log.
        wait_for("nginx to listen", async || {
            std::net::TcpStream::connect(("127.0.0.1", tls)).is_ok()
        })
        .await;
        wait_for("nginx to log that", async || !server.errors().is_empty()).await;
        Some(server)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// What it has logged of errors, but for connections that a client kept and then closed.
    fn errors(&self) -> Vec<String> {
        let errors = self.read("errors");
        let lines = errors.lines().filter(|line| !line.contains("closed keepalive connection"));
        lines.filter(|line| line.contains("client")).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_web_server_logs_requests_alone() {
    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1");
    let Some(server) = Nginx::start(&identity.cert, &identity.key).await else { return };
    let ca = file(&authority.pem);
    let trusted = format!("tls.ca = '{}'", ca.path().display());
    let (plain, tls) = (server.plain, server.tls);
    let mut requests = 0;
    for (kind, options, asks) in [
        ("http", format!("url = 'http://127.0.0.1:{plain}/'"), true),
        ("http", format!("url = 'http://127.0.0.1:{plain}/'\nexpect.body_regex = 'up'"), true),
        ("http", format!("url = 'https://127.0.0.1:{tls}/'\n{trusted}"), true),
        ("tcp", format!("address = '127.0.0.1:{plain}'"), false),
        ("tls", format!("address = '127.0.0.1:{tls}'\n{trusted}\nwarn_before = '1s'"), false),
    ] {
        let before = server.errors().len();
        ask_often(&check(kind, &options)).await;
        requests += if asks { OFTEN } else { 0 };
        let good = |line: &&str| line.contains(" 200 ");
        wait_for("the log", async || server.read("requests").lines().count() >= requests).await;
        assert_eq!(server.read("requests").lines().filter(good).count(), requests, "{options}");
        // A connection over which nothing is asked is a line of no weight.
        let errors = server.errors().split_off(before);
        let errors: Vec<_> =
            errors.iter().filter(|line| !line.contains("while waiting for request")).collect();
        assert!(errors.is_empty(), "{kind} {options}: {errors:?}");
    }
}

#[tokio::test]
async fn a_name_server_logs_nothing() {
    let Some(server) = Named::start("www IN A 10.1.0.1").await else { return };
    let before = server.log();
    let at = server.resolver();
    ask_often(&check("dns", &format!("name = 'www.orders.test'\nresolver = '{at}'"))).await;
    assert_eq!(server.log(), before);
}
