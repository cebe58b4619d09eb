//! The proxies of docs/BEHIND_A_PROXY.md, run with the lines of that page in front of the service.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::daemon::{Daemon, free_port, left_out, server_dir, wait_for};
use crate::support::http::{Answer, Client};
use crate::support::peer::{Peer, http_answer};
use crate::support::service::Service;

/// What keeps Caddy from asking for certificates and from listening elsewhere.
const CADDY_ALONE: &str = "{\n\tadmin off\n\tauto_https off\n}\n";

const PAGE: &str = include_str!("../../docs/BEHIND_A_PROXY.md");

/// The lines that the page shows under this heading.
pub(super) fn block(heading: &str) -> &'static str {
    let start = format!("\n## {heading}\n");
    let (_, section) = PAGE.split_once(&start).unwrap_or_else(|| panic!("a section {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut fences = section.split("```");
    let block = fences.nth(1).and_then(|block| block.split_once('\n')).expect("a block").1;
    assert_eq!(fences.count(), 1, "{heading} has one block");
    block
}

/// The page's lines under `heading`, with the addresses of this test.
fn lines(heading: &str, service: SocketAddr, port: u16) -> String {
    let block = block(heading);
    assert!(block.contains("8000") || heading == "Varnish", "{block}");
    assert!(block.contains("8080"), "{block}");
    block.replace("8080", &service.port().to_string()).replace("8000", &port.to_string())
}

/// A proxy in front of the service.
struct Proxy {
    daemon: Daemon,
    dir: TempDir,
    address: SocketAddr,
}

impl Proxy {
    /// Starts `program` on `port` as `arguments` say, and waits until it passes a probe on.
    async fn start(program: &str, port: u16, dir: TempDir, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", dir.path()).env("XDG_DATA_HOME", dir.path());
        if Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|o| !o.status.success())
        {
            left_out(program);
            return None;
        }
        let log = dir.path().join("log");
        let daemon = Daemon::start(command, &log);
        let mut proxy = Self { daemon, dir, address: ([127, 0, 0, 1], port).into() };
        wait_for(&format!("{program} to pass a probe on"), async || proxy.passes().await).await;
        Some(proxy)
    }

    async fn passes(&mut self) -> bool {
        assert!(self.daemon.runs(), "{}", self.log());
        let Ok(stream) = TcpStream::connect(self.address).await else { return false };
        let mut client = Client::over(stream);
        client.send("GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
        client.answer().await.is_some_and(|answer| answer.status == 200)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        let mut client = Client::connect(self.address).await;
        let head = format!("GET {path} HTTP/1.1\r\nhost: status.example\r\nconnection: close\r\n");
        client.send(format!("{head}{headers}\r\n")).await;
        client.answer().await.unwrap_or_else(|| panic!("{path}: no answer\n{}", self.log()))
    }

    /// What the event stream has sent until it holds `wanted`.
    async fn events(&self, wanted: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let head = "GET /events HTTP/1.1\r\nhost: status.example\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut seen = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&seen).contains(wanted) {
                assert!(stream.read_buf(&mut seen).await.expect("bytes") > 0, "it ended");
            }
        };
        timeout(Duration::from_secs(14), reading).await.expect("sooner than the next summary");
        String::from_utf8_lossy(&seen).into_owned()
    }
}

/// A service that is not ready, and shows details to local clients.
async fn service() -> Service {
    let closed = free_port();
    let service = Service::start(&format!(
        "[server]\ndetails = \"loopback\"\ntoken = \"right\"\n[history]\nurl = \"off\"\n\
         [checks.cache]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\ninterval = \"1s\"\n"
    ))
    .await;
    service.ready_is(503, r#"{"status":"down","cache":"down"}"#).await;
    let local = service.get("/ready?verbose").await.body;
    assert!(local.contains("connection_refused"), "a local client sees causes: {local}");
    service
}

/// What holds behind each of them.
async fn is_passed_on(proxy: &Proxy) {
    let ready = proxy.get("/ready", "").await;
    let body = r#"{"status":"down","cache":"down"}"#;
    assert_eq!((ready.status, ready.body.as_str()), (503, body), "{}", proxy.log());
    assert_eq!(ready.header("cache-control"), Some("no-store"));

    let verbose = proxy.get("/ready?verbose", "").await.body;
    assert_eq!(verbose, "[-]cache failed: reason withheld\nready check failed\n");
    for path in ["/status", "/"] {
        let answer = proxy.get(path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("connection_refused"), "{path}: {}", answer.body);
    }
    let right = proxy.get("/status", "authorization: Bearer right\r\n").await;
    assert!(right.body.contains("connection_refused"), "the token passes: {}", right.body);

    let events = proxy.events("event: summary").await;
    assert!(!events.contains("connection_refused"), "{events}");
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[tokio::test]
async fn haproxy_passes_on_what_the_page_says() {
    let (service, port, dir) = (service().await, free_port(), server_dir());
    let file = write(dir.path(), "haproxy.cfg", &lines("HAProxy", service.address, port));
    let Some(proxy) = Proxy::start("haproxy", port, dir, &["-f", &file]).await else { return };
    is_passed_on(&proxy).await;
}

#[tokio::test]
async fn nginx_passes_on_what_the_page_says() {
    let (service, port, dir) = (service().await, free_port(), server_dir());
    let folder = dir.path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let server = lines("nginx", service.address, port);
    let text = format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{server}}}\n"
    );
    let file = write(dir.path(), "nginx.conf", &text);
    let arguments = ["-e", "stderr", "-c", &file];
    let Some(proxy) = Proxy::start("nginx", port, dir, &arguments).await else { return };
    is_passed_on(&proxy).await;
}

#[tokio::test]
async fn apache_passes_on_what_the_page_says() {
    let (service, port, dir) = (service().await, free_port(), server_dir());
    let folder = dir.path().display().to_string();
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let host = lines("Apache", service.address, port);
    let text = format!(
        "{modules}ServerRoot {folder}\nServerName status.example\nDefaultRuntimeDir {folder}\n\
         PidFile {folder}/pid\nErrorLog /dev/stderr\nListen 127.0.0.1:{port}\n{host}"
    );
    let file = write(dir.path(), "apache.conf", &text);
    let arguments = ["-f", &file, "-D", "FOREGROUND"];
    let Some(proxy) = Proxy::start("apache2", port, dir, &arguments).await else { return };
    is_passed_on(&proxy).await;
}

#[tokio::test]
async fn varnish_passes_on_what_the_page_says() {
    let (service, port, dir) = (service().await, free_port(), server_dir());
    let file = write(dir.path(), "vitals.vcl", &lines("Varnish", service.address, port));
    let (at, state) = (format!("127.0.0.1:{port}"), dir.path().join("state").display().to_string());
    let arguments =
        ["-F", "-j", "none", "-a", &at, "-f", &file, "-n", &state, "-s", "malloc,8m", "-T", "none"];
    let Some(proxy) = Proxy::start("varnishd", port, dir, &arguments).await else { return };
    is_passed_on(&proxy).await;
}

#[tokio::test]
async fn caddy_passes_on_what_the_page_says() {
    let (service, port, dir) = (service().await, free_port(), server_dir());
    let site = lines("Caddy", service.address, port);
    let text = format!("{CADDY_ALONE}{site}");
    let file = write(dir.path(), "Caddyfile", &text);
    let arguments = ["run", "--adapter", "caddyfile", "--config", &file];
    let Some(proxy) = Proxy::start("caddy", port, dir, &arguments).await else { return };
    is_passed_on(&proxy).await;
}

#[tokio::test]
async fn envoy_passes_on_what_the_page_says() {
    let (service, port, dir) = (service().await, free_port(), server_dir());
    let file = write(dir.path(), "envoy.yaml", &lines("Envoy", service.address, port));
    let arguments = ["-c", &file, "--disable-hot-restart", "--concurrency", "1"];
    let Some(proxy) = Proxy::start("envoy", port, dir, &arguments).await else { return };
    is_passed_on(&proxy).await;
}

/// After SIGTERM the application beside the service is asked no more, while the service still
/// listens. The proxies ask more often than the page has them, to save time.
#[tokio::test]
async fn a_draining_instance_is_out_before_its_listener_closes() {
    let arguments: [(&str, &str, &[&str]); 3] = [
        ("HAProxy", "haproxy", &["-f"]),
        ("Caddy", "caddy", &["run", "--adapter", "caddyfile", "--config"]),
        ("Envoy", "envoy", &["--disable-hot-restart", "--concurrency", "1", "-c"]),
    ];
    for (heading, program, arguments) in arguments {
        let service = Service::start("[history]\nurl = \"off\"\n").await;
        service.ready_is(200, r#"{"status":"up"}"#).await;
        let application = Peer::http(|_| http_answer("200 OK", "", "served")).await;
        let (port, dir) = (free_port(), server_dir());
        let mut text = lines(heading, service.address, port);
        for (of_page, of_test) in [
            ("3000", &*application.address.port().to_string()),
            (" check addr", " check inter 200ms addr"),
            ("health_interval 2s", "health_interval 200ms"),
            ("interval: 5s", "interval: 0.2s"),
        ] {
            text = text.replace(of_page, of_test);
        }
        if program == "caddy" {
            text = format!("{CADDY_ALONE}{text}");
        }
        let file = write(dir.path(), "proxy.yaml", &text);
        let arguments = [arguments, &[&*file]].concat();
        let Some(proxy) = Proxy::start(program, port, dir, &arguments).await else { return };
        let answer = async || proxy.get("/application", "").await;
        wait_for("the application", async || answer().await.body == "served").await;

        service.signal(Signal::TERM);
        wait_for("the proxy to take it out", async || answer().await.status == 503).await;
        let ready = service.get("/ready").await;
        assert_eq!((ready.status, &*ready.body), (503, r#"{"status":"draining"}"#), "{heading}");
    }
}

/// The page says it of HAProxy and nginx: without a header nobody can know that they forward.
#[tokio::test]
async fn behind_a_proxy_that_adds_no_header_auto_shows_no_details() {
    let closed = free_port();
    let service = Service::start(&format!(
        "[server]\ndetails = \"auto\"\ntoken = \"right\"\n[history]\nurl = \"off\"\n\
         [checks.cache]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\ninterval = \"1s\"\n"
    ))
    .await;
    service.ready_is(503, r#"{"status":"down","cache":"down"}"#).await;
    let (port, dir) = (free_port(), server_dir());
    let bare = lines("HAProxy", service.address, port).replace("  option forwardfor\n", "");
    assert!(!bare.contains("forwardfor"), "{bare}");
    let file = write(dir.path(), "haproxy.cfg", &bare);
    let Some(proxy) = Proxy::start("haproxy", port, dir, &["-f", &file]).await else { return };
    is_passed_on(&proxy).await;
}
