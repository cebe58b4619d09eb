//! The `websocket` kind against a server that somebody else wrote: Python's websockets.

use rustix::process::Signal;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;

use super::*;
use crate::support::certs::{Authority, file};
use crate::support::checks::SHORT;
use crate::support::daemon::{Daemon, User, free_port, left_out, server_dir, wait_for};

/// websockets on a port without TLS and on one with it; gone when dropped.
struct Server {
    daemon: Daemon,
    plain: u16,
    tls: u16,
    ca: NamedTempFile,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("VITALSIGN_PYTHON") else {
            left_out("websockets (PyPI; VITALSIGN_PYTHON names the interpreter)");
            return None;
        };
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
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/websocket_server.py"));
        command.args([plain.to_string(), tls.to_string()]).args([cert, key]);
        command.args(["app", SECRET]);
        let mut daemon = Daemon::start(command, &dir.path().join("log"));
        wait_for("websockets to listen", async || {
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(daemon.runs(), "websockets does not start: {}", log());
            TcpStream::connect(("127.0.0.1", tls)).await.is_ok()
        })
        .await;
        Some(Self { daemon, plain, tls, ca: file(&authority.pem), _dir: dir })
    }

    fn url(&self, path: &str) -> String {
        format!("url = 'ws://127.0.0.1:{}{path}'", self.plain)
    }

    fn secure(&self, ca: &NamedTempFile) -> String {
        format!("url = 'wss://127.0.0.1:{}/'\ntls.ca = '{}'", self.tls, ca.path().display())
    }
}

async fn asked(options: &str) -> Result<Detail, Failure> {
    ask(&*check("websocket", options), PATIENT).await
}

async fn failed(options: &str) -> (Reason, String) {
    let failure = asked(options).await.expect_err("the run fails");
    (failure.reason(), failure.message().to_owned())
}

#[tokio::test]
async fn a_ping_or_a_message_is_answered() {
    let Some(server) = Server::start().await else { return };
    let url = server.url("/");
    let echo = format!("{url}\nsend = 'how are you'\nexpect.regex = '^how are you$'");
    let chat = format!("{url}\nsubprotocol = 'chat'");
    for options in [&url, &echo, &chat, &server.url("/long")] {
        let answer = asked(options).await;
        let long = options.contains("long");
        assert_eq!(answer.map_err(|f| f.reason()).err(), long.then_some(Reason::TooLarge));
    }
    let (reason, text) = failed(&format!("{url}\nsend = 'a'\nexpect.regex = 'b'")).await;
    assert_eq!(reason, Reason::UnexpectedBody, "{text}");
    let (reason, text) = failed(&server.url("/full")).await;
    assert_eq!(reason, Reason::Overloaded, "{text}");
    let (reason, text) = failed(&format!("{url}\nsubprotocol = 'mqtt'")).await;
    assert_eq!(reason, Reason::UnexpectedBody, "{text}");
}

#[tokio::test]
async fn credentials_must_be_right_where_some_are_asked_for() {
    let Some(server) = Server::start().await else { return };
    let url = server.url("/private");
    assert_eq!(
        asked(&url.replace("ws://", &format!("ws://app:{SECRET}@"))).await,
        Ok(Detail::ok())
    );
    for options in
        [url.clone(), url.replace("ws://", "ws://app:not-the-one@"), server.url("/forbidden")]
    {
        let (reason, text) = failed(&options).await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(!text.contains("not-the-one"), "{text}");
    }
}

#[tokio::test]
async fn trace_context_reaches_the_server() {
    let Some(server) = Server::start().await else { return };
    let (spans, _guard) = Spans::record();
    let cx = Context::new(Instant::now() + PATIENT, Some(Arc::new(TraceContextPropagator::new())));
    let options = format!("{}\nexpect.regex = '^00-[0-9a-f]{{32}}-'", server.url("/trace"));
    assert_eq!(check("websocket", &options).run(&cx).await, Ok(Detail::ok()));
    assert_eq!(spans.only().status, Status::Unset);
    let cx = Context::new(Instant::now() + PATIENT, None);
    let failure = check("websocket", &options).run(&cx).await.expect_err("none is sent");
    assert_eq!(failure.reason(), Reason::UnexpectedBody);
}

#[tokio::test]
async fn tls_is_verified() {
    let Some(server) = Server::start().await else { return };
    let (spans, _guard) = Spans::record();
    assert_eq!(asked(&server.secure(&server.ca)).await, Ok(Detail::ok()));
    assert_eq!(events(&spans.only()), ["connect", "tls", "request", "transfer"]);
    let strangers = file(&Authority::new().pem);
    assert_eq!(failed(&server.secure(&strangers)).await.0, Reason::TlsUntrusted);
    let name = format!("{}\ntls.server_name = 'orders'", server.secure(&server.ca));
    assert_eq!(failed(&name).await.0, Reason::TlsNameMismatch);
}

#[tokio::test]
async fn a_frozen_server_times_out_and_a_stopped_one_refuses() {
    let Some(server) = Server::start().await else { return };
    let check = check("websocket", &server.url("/"));
    server.daemon.signal_all(Signal::STOP);
    assert_eq!(ask(&*check, SHORT).await.expect_err("it is frozen").reason(), Reason::Timeout);
    server.daemon.signal_all(Signal::CONT);
    assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
    server.daemon.stop(Signal::TERM).await;
    let refused = ask(&*check, PATIENT).await.expect_err("nothing listens");
    assert_eq!(refused.reason(), Reason::ConnectionRefused);
}
