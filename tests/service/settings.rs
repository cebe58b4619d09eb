//! What the configuration says of the server reaches the server.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::support::certs::Authority;
use crate::support::http::Client;
use crate::support::peer::{self, Peer};
use crate::support::service::{Service, limited};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn it_speaks_tls_where_a_certificate_is_configured() {
    let authority = Authority::new();
    let identity = authority.issue("localhost");
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (cert, key) = (file("cert.pem", &identity.cert), file("key.pem", &identity.key));
    let config = format!("[server]\ntls = {{ cert = \"{cert}\", key = \"{key}\" }}\n");
    let service = Service::start(&config).await;

    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(service.address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let answer = Client::over(stream.expect("a handshake")).get("/health").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"up"}"#));
}

#[tokio::test]
async fn a_client_that_is_slower_than_its_header_timeout_is_closed_first() {
    let hasty = Service::start("[server]\nheader_timeout = \"1s\"\n").await;
    let usual = Service::start("").await;
    // Both are as busy as the machine is: the one of 1 s closes before the one of 10 s.
    let mut unheard = Client::connect(usual.address).await;
    let mut silent = Client::connect(hasty.address).await;
    tokio::select! {
        biased;
        _ = silent.closed() => {}
        _ = unheard.closed() => panic!("the default came first"),
    }
}

#[tokio::test]
async fn past_max_connections_the_longest_idle_one_makes_room() {
    let config = "[server]\nmax_connections = 1\nheader_timeout = \"1h\"\n";
    let service = Service::start(config).await;
    let mut idle = Client::connect(service.address).await;
    assert_eq!(idle.get("/health").await.status, 200);
    let mut newcomer = Client::connect(service.address).await;
    assert_eq!(newcomer.get("/health").await.status, 200);
    timeout(PATIENCE, idle.closed()).await.expect("it made room");
}

#[tokio::test]
async fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let service = Service::start_with("", |command| limited(command, "-Sn 64")).await;
    let page = service.get_until("/metrics", |a| a.body.contains("\nprocess_max_fds ")).await.body;
    let line = page.lines().find_map(|l| l.strip_prefix("process_max_fds ")).expect("its value");
    assert_ne!(line, "64");
}

#[tokio::test]
async fn no_more_than_half_of_the_descriptors_are_runs() {
    let silent = Peer::start(peer::silent()).await;
    let address = silent.address;
    let check = |i: usize| {
        format!("[checks.c-{i}]\nkind = \"tcp\"\naddress = \"{address}\"\nexpect.regex = \"x\"\n")
    };
    let config = "[defaults]\ninterval = \"1h\"\ntimeout = \"30m\"\n".to_owned();
    let config = (0..40).map(check).fold(config, |config, check| config + &check);
    let service = Service::start_with(&config, |command| limited(command, "-n 64")).await;
    silent.has_accepted(32).await;
    let skipped = |page: &str| {
        let limits = page.lines().filter(|l| {
            l.starts_with("health_check_skipped_total")
                && l.contains("\"limit\"")
                && l.ends_with(" 1")
        });
        limits.count()
    };
    service.get_until("/metrics", |answer| skipped(&answer.body) == 8).await;
    assert_eq!(silent.accepted(), 32);
}

#[tokio::test]
async fn the_service_is_described_as_it_is_configured() {
    let config = "[service]\nname = \"orders\"\nversion = \"1.4.2\"\nenvironment = \"production\"\n\
         instance = \"orders-1\"\n";
    let service = Service::start(config).await;
    let head = service.status().await["service"].clone();
    for (key, value) in [
        ("name", "orders"),
        ("version", "1.4.2"),
        ("environment", "production"),
        ("instance", "orders-1"),
    ] {
        assert_eq!(head[key], value, "{head}");
    }
}

#[tokio::test]
async fn checks_run_on_a_runtime_of_their_own() {
    let silent = Peer::start(peer::silent()).await;
    let address = silent.address;
    let check = |i: usize| format!("[checks.c-{i}]\nkind = \"tcp\"\naddress = \"{address}\"\n");
    let config: Vec<String> = (0..50).map(check).collect();
    let service = Service::start(&config.concat()).await;
    let tasks = |page: &str, runtime: &str| {
        let series = format!("tokio_runtime_alive_tasks{{runtime=\"{runtime}\"}} ");
        let value = page.lines().find_map(|l| l.strip_prefix(&series)).expect("its series");
        value.parse::<u64>().expect("a number")
    };
    let page = service.get_until("/metrics", |answer| tasks(&answer.body, "checks") >= 50).await;
    assert!(tasks(&page.body, "http") < 50, "{}", page.body);
}
