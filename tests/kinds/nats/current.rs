//! What only a current server does, or does in another way than Debian's.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;
use vitalsign::{Detail, Reason};

use super::{asked, failed};
use crate::support::broker::Broker;
use crate::support::certs::{Authority, Identity, file};
use crate::support::checks::{PATIENT, SHORT, ask, ask_often, check};
use crate::support::daemon::{free_port, wait_for};
use crate::support::peer::{self, Peer};

async fn both(settings: &str) -> Vec<Broker> {
    let servers = [Broker::nats(settings, &[]).await, Broker::current_nats(settings, &[]).await];
    servers.into_iter().flatten().collect()
}

/// A server with TLS, and a file that names its authority.
async fn with_tls(settings: &str) -> Option<(Broker, tempfile::NamedTempFile)> {
    let authority = Authority::new();
    let Identity { cert, key } = authority.issue("127.0.0.1");
    let tls = format!("tls {{ cert_file: cert.pem, key_file: key.pem, {settings} }}");
    let server = Broker::current_nats(&tls, &[("cert.pem", &cert), ("key.pem", &key)]).await?;
    Some((server, file(&authority.pem)))
}

/// Such a server sends its greeting within TLS alone.
#[tokio::test]
async fn a_server_that_wants_tls_first_is_asked_so() {
    for (setting, greets) in [("true", false), ("auto", true), ("false", true)] {
        let Some((server, ca)) = with_tls(&format!("handshake_first: {setting}")).await else {
            return;
        };
        let tls = format!("tls.ca = '{}'", ca.path().display());
        let url = format!("tls://{}", server.address());
        assert_eq!(asked(&url, &tls).await, Ok(Detail::ok()), "{setting}");
        let first = asked(&url, &format!("{tls}\ntls.handshake_first = true")).await;
        assert_eq!(first.is_ok(), setting != "false", "{setting}");
        // Without a word of TLS in the URL it is silent.
        let plain = check("nats", &format!("url = 'nats://{}'\n{tls}", server.address()));
        let plain = ask(&*plain, SHORT).await.err().map(|failure| failure.reason());
        assert_eq!(plain, (!greets).then_some(Reason::Timeout), "{setting}");
    }
}

/// A server gives up a client that says nothing for two seconds, so the wait must be shorter.
#[tokio::test(start_paused = true)]
async fn silence_is_answered_by_tls_once_and_known_from_then_on() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let server = authority.issue("127.0.0.1").server(None);
    let script = peer::greeting(b"INFO {\"tls_required\":true}\r\n", "PONG\r\n");
    let peer = Peer::start_tls(server, script).await;
    let options = format!("url = 'tls://{}'\ntls.ca = '{}'", peer.address, ca.path().display());
    let check = check("nats", &options);
    for waits in [true, false, false] {
        let started = Instant::now();
        assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
        assert_eq!(started.elapsed() >= Duration::from_secs(1), waits);
    }
}

#[tokio::test]
async fn a_port_that_is_not_for_clients_is_named() {
    for current in [false, true] {
        let [route, leaf, gateway] = [(); 3].map(|()| free_port());
        let settings = format!(
            "cluster {{ name: c, listen: \"127.0.0.1:{route}\" }}\n\
             leafnodes {{ listen: \"127.0.0.1:{leaf}\" }}\n\
             gateway {{ name: c, listen: \"127.0.0.1:{gateway}\" }}\n\
             accounts {{ SYS: {{ users: [{{ user: s, password: s }}] }}, A: {{ users: [{{ user: a, \
             password: a }}] }} }}\nsystem_account: SYS\nno_auth_user: a\n"
        );
        let server = if current {
            Broker::current_nats(&settings, &[]).await
        } else {
            Broker::nats(&settings, &[]).await
        };
        let Some(server) = server else { return };
        assert_eq!(asked(&format!("nats://{}", server.address()), "").await, Ok(Detail::ok()));
        for (port, whom) in
            [(route, "routes of its cluster"), (leaf, "leaf nodes"), (gateway, "gateways")]
        {
            let (reason, text) = failed(&format!("nats://a:a@127.0.0.1:{port}"), "").await;
            assert_eq!(reason, Reason::Protocol, "{text}");
            let wanted = format!("is the port of a NATS server for {whom}, not for clients");
            assert!(text.ends_with(&wanted), "{text}");
        }
        assert!(!server.log().contains("attempted to connect"), "{}", server.log());
    }
}

#[tokio::test]
async fn a_lame_duck_stops_listening_at_once() {
    for server in both("lame_duck_duration: 30s\nlame_duck_grace_period: 1s").await {
        let url = format!("nats://{}", server.address());
        // A client that stays keeps it from stopping.
        let _client = tokio::net::TcpStream::connect(server.address()).await.expect("a connection");
        assert_eq!(asked(&url, "").await, Ok(Detail::ok()));
        server.daemon.signal_all(Signal::USR2);
        wait_for("it to stop listening", async || asked(&url, "").await.is_err()).await;
        assert_eq!(failed(&url, "").await.0, Reason::ConnectionRefused);
    }
}

#[tokio::test]
async fn asked_often_a_server_logs_nothing() {
    let mut servers = both("").await;
    let mut options = vec![String::new(); servers.len()];
    if let Some((server, ca)) = with_tls("handshake_first: false").await {
        servers.push(server);
        options.push(format!("tls.ca = '{}'", ca.path().display()));
        let log = |server: &Broker| server.log().lines().count();
        for (server, options) in servers.iter().zip(&options) {
            let url = format!("nats://{}", server.address());
            let check: Arc<_> = check("nats", &format!("url = '{url}'\n{options}"));
            assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
            let before = log(server);
            ask_often(&check).await;
            assert_eq!(log(server), before, "{}", server.log());
        }
    }
}
