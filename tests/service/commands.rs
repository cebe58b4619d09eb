//! The commands that end by themselves, and their exit codes.

use std::future::IntoFuture;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::certs::Authority;
use crate::support::daemon::free_port;
use crate::support::peer::{self, Peer, http_answer};
use crate::support::service::{Ended, Service, command, run};

/// A directory with a configuration of this text.
pub(super) fn configured(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("vitalsign.toml"), text).expect("the configuration");
    dir
}

/// Blocking in these tests is fine: nothing else runs on their threads.
pub(super) fn vitalsign(dir: &Path, arguments: &[&str]) -> Ended {
    run(command(dir, arguments))
}

pub(super) fn with(dir: &Path, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Ended {
    let mut command = command(dir, arguments);
    prepare(&mut command);
    run(command)
}

pub(super) fn mixed() -> tempfile::TempDir {
    let closed = free_port();
    configured(&format!(
        r#"
        [checks.database]
        kind = "sqlite"
        path = "own.db"
        create = true
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{closed}"
        gates = []
        [checks.off]
        kind = "tcp"
        address = "127.0.0.1:1"
        enabled = false
        "#
    ))
}

#[test]
fn check_runs_every_check_once_and_fails_only_for_gating_ones() {
    let dir = mixed();
    let all = vitalsign(dir.path(), &["check"]);
    assert_eq!(all.code, Some(0), "{all:?}");
    let lines: Vec<&str> = all.out.lines().collect();
    assert_eq!(lines[0], "[-]cache failed: connection_refused");
    assert!(lines[1].starts_with("    ") && lines[1].contains("127.0.0.1"), "{all:?}");
    assert_eq!(&lines[2..], ["[+]database ok", "ready check passed"]);
    assert!(!all.out.contains('\x1b'), "no colour without a terminal");
}

#[test]
fn a_named_check_that_fails_is_1_whatever_it_gates() {
    let dir = mixed();
    let named = vitalsign(dir.path(), &["check", "cache"]);
    assert_eq!(named.code, Some(1), "{named:?}");
    assert!(!named.out.contains("database"), "{named:?}");
    let good = vitalsign(dir.path(), &["check", "database"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let unknown = vitalsign(dir.path(), &["check", "nope"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.err.contains("cache, database"), "{unknown:?}");
    let disabled = vitalsign(dir.path(), &["check", "off"]);
    assert_eq!(disabled.code, Some(2), "{disabled:?}");
    assert!(disabled.err.contains("disabled"), "{disabled:?}");
}

#[test]
fn a_named_check_is_run_without_what_it_depends_on() {
    let dir = configured(
        "[checks.database]\nkind = \"sqlite\"\npath = \"own.db\"\ncreate = true\n\
         depends_on = [\"vpn\"]\n[checks.vpn]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n",
    );
    let named = vitalsign(dir.path(), &["check", "database"]);
    assert_eq!((named.code, named.out.as_str()), (Some(0), "[+]database ok\ncheck passed\n"));
}

#[tokio::test]
async fn no_check_waits_for_another_or_for_its_interval() {
    let silent = Peer::start(peer::silent()).await;
    let dir = configured(&format!(
        "[defaults]\ninterval = \"1h\"\n[checks.a]\nkind = \"tcp\"\naddress = \"{}\"\n\
         expect.regex = \"x\"\ntimeout = \"500ms\"\n\
         [checks.b]\nkind = \"sqlite\"\npath = \"own.db\"\ncreate = true\n",
        silent.address
    ));
    let mut command = tokio::process::Command::from(command(dir.path(), &["check"]));
    let ended = tokio::time::timeout(Duration::from_mins(1), command.kill_on_drop(true).output());
    let out = ended.await.expect("it ends long before the hour").expect("the binary runs").stdout;
    let out = String::from_utf8(out).expect("text");
    assert!(out.starts_with("[-]a failed: timeout\n") && out.contains("[+]b ok\n"), "{out}");
}

#[test]
fn check_prints_the_status_document_when_asked() {
    let dir = mixed();
    let json = vitalsign(dir.path(), &["check", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(document["checks"]["database"]["status"], "up");
    assert_eq!(document["checks"]["cache"]["last_run"]["reason"], "connection_refused");
    assert_eq!(vitalsign(dir.path(), &["check", "--format", "xml"]).code, Some(2));
}

#[test]
fn a_failing_gate_makes_check_1() {
    let closed = free_port();
    let text = format!("[checks.a]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\n");
    let dir = configured(&text);
    let ended = vitalsign(dir.path(), &["check"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.ends_with("ready check failed\n"), "{ended:?}");
}

#[test]
fn the_configuration_is_named_by_flag_then_variable() {
    let dir = mixed();
    std::fs::write(dir.path().join("bad.toml"), "x = 1\n").expect("a file");
    let by = |arguments: &[&str], variable: &str| {
        with(dir.path(), arguments, |c| {
            c.env("VITALSIGN_CONFIG", variable);
        })
        .code
    };
    assert_eq!(by(&["validate"], "bad.toml"), Some(78));
    assert_eq!(by(&["validate"], ""), Some(0), "an empty variable is as none");
    assert_eq!(by(&["validate", "--config", "vitalsign.toml"], "bad.toml"), Some(0));
    assert_eq!(by(&["--config", "vitalsign.toml", "validate"], "bad.toml"), Some(0));
    let missing = vitalsign(dir.path(), &["validate", "--config", "missing.toml"]);
    assert_eq!(missing.code, Some(78), "{missing:?}");
    assert!(missing.err.contains("missing.toml"), "{missing:?}");
}

#[test]
fn wrong_usage_is_2_and_says_what_would_be_right() {
    let dir = mixed();
    for (arguments, hint) in [
        (&["srve"][..], "serve"),
        (&["--listen", "nonsense"], "127.0.0.1:8080"),
        (&["serve", "--listen", ":8080"], "127.0.0.1:8080"),
        (&["--listen", "127.0.0.1:0", "validate"], "--listen"),
        (&["probe", "http://x", "--insecure"], "https"),
        (&["probe", "https://x", "--insecure", "--ca", "x"], "--insecure"),
        (&["probe", "https://x", "--server-name", "127.0.0.1"], "vitals.example"),
        (&["probe", "ftp://x"], "http"),
        (&["probe", "http://one,two/health"], "such as http://"),
        (&["probe", "http://x", "--timeout", "2"], "2s"),
        (&["probe", "http://x", "--timeout", "0s"], "2s"),
    ] {
        let ended = vitalsign(dir.path(), arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(hint), "{arguments:?}: {ended:?}");
    }
    assert_eq!(vitalsign(dir.path(), &["--help"]).code, Some(0));
    assert_eq!(vitalsign(dir.path(), &["--version"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_is_0_on_2xx_and_1_otherwise() {
    let closed = free_port();
    let config = format!(
        "[checks.a]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\ninterval = \"1s\"\n"
    );
    let service = Service::start(&config).await;
    service.ready_is(503, r#"{"status":"down","a":"down"}"#).await;
    let dir = service.dir.path();
    let probe = |path: &str| {
        let url = format!("http://{}{path}", service.address);
        vitalsign(dir, &["probe", &url])
    };
    assert_eq!(probe("/health").code, Some(0));
    let down = probe("/ready");
    assert_eq!(down.code, Some(1));
    assert!(down.err.contains("503"), "{down:?}");
    let refused = vitalsign(dir, &["probe", &format!("http://user:hunter2@127.0.0.1:{closed}/")]);
    assert_eq!(refused.code, Some(1));
    assert!(!refused.err.contains("hunter2"), "{refused:?}");
    let leading = Peer::http({
        let health = format!("http://{}/health", service.address);
        move |_| http_answer("302 Found", &format!("Location: {health}\r\n"), "")
    })
    .await;
    let led = vitalsign(dir, &["probe", &format!("http://{}/", leading.address)]);
    assert_eq!(led.code, Some(1), "a redirect is no 2xx: {led:?}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", silent.local_addr().expect("its address"));
    let hung = vitalsign(dir, &["probe", &url, "--timeout", "200ms"]);
    assert_eq!(hung.code, Some(1));
    assert!(hung.err.contains("200ms"), "{hung:?}");
}

/// A service over TLS, whose certificate is for another name than its address.
async fn secured() -> (Service, String) {
    let authority = Authority::new();
    let identity = authority.issue("vitals.internal");
    let config = "[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n";
    let service = Service::start_with(config, |command| {
        let dir = command.get_current_dir().expect("its directory");
        for (name, text) in
            [("cert.pem", &identity.cert), ("key.pem", &identity.key), ("ca.pem", &authority.pem)]
        {
            std::fs::write(dir.join(name), text).expect("a file");
        }
    })
    .await;
    let listen = service.address.to_string();
    (service, listen)
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_asks_a_tls_listener_as_it_is_told() {
    let (service, listen) = secured().await;
    let dir = service.dir.path();
    let url = format!("https://{listen}/health");
    for (arguments, code) in [
        (&["probe", &url][..], 1),
        (&["probe", &url, "--insecure"], 0),
        (&["probe", &url, "--ca", "ca.pem", "--server-name", "vitals.internal"], 0),
        (&["probe", &url, "--ca", "ca.pem"], 1),
        (&["probe", &url, "--ca", "ca.pem", "--server-name", "another.internal"], 1),
        (&["probe", &url, "--server-name", "vitals.internal"], 1),
        (&["probe", &url, "--ca", "missing.pem"], 1),
        (&["probe", &url, "--ca", "key.pem"], 1),
    ] {
        let ended = vitalsign(dir, arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_without_a_url_asks_the_configured_listener() {
    let (tls, tls_listen) = secured().await;
    let plain = Service::start("[service]\nname = \"plain\"\n").await;
    let built_in = Service::start("").await;
    let listens = |service: &Service| service.address.to_string();
    for (service, listen) in
        [(&tls, tls_listen), (&plain, listens(&plain)), (&built_in, listens(&built_in))]
    {
        let dir = service.dir.path();
        let by_variable = |arguments: &[&str]| {
            with(dir, arguments, |command| {
                command.env("VITALSIGN_LISTEN", &listen);
            })
        };
        let ended = by_variable(&["probe"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.is_empty() && ended.out.is_empty(), "{ended:?}");
        // The file names an address that nobody listens on.
        let text = std::fs::read_to_string(dir.join("vitalsign.toml")).unwrap_or_default();
        let listen_line = format!("[server]\nlisten = \"{listen}\"\n");
        let file = text.replacen("[server]\n", &listen_line, 1);
        let file = if file == text { format!("{text}\n{listen_line}") } else { file };
        std::fs::write(dir.join("probe.toml"), file).expect("a file");
        for arguments in [&["probe", "--config", "probe.toml"][..], &["-c", "probe.toml", "probe"]]
        {
            let ended = vitalsign(dir, arguments);
            assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        }
    }
    let dir = tls.dir.path();
    let verified =
        ["probe", "-c", "probe.toml", "--ca", "ca.pem", "--server-name", "vitals.internal"];
    assert_eq!(vitalsign(dir, &verified).code, Some(0), "what is named is verified");
    assert_eq!(vitalsign(dir, &verified[..5]).code, Some(1), "what is named is verified");
    let wrong = configured("[server]\nlisten = 1\n");
    assert_eq!(vitalsign(wrong.path(), &["probe"]).code, Some(78));
    let nobody = configured(&format!("[server]\nlisten = \"127.0.0.1:{}\"\n", free_port()));
    assert_eq!(vitalsign(nobody.path(), &["probe"]).code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_connects_to_a_unix_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = tokio::net::UnixListener::bind(dir.path().join("sock")).expect("a socket");
    let app = axum::Router::new().route("/health", axum::routing::get(|| async { "up" }));
    let served = tokio::spawn(axum::serve(listener, app).into_future());
    let path = dir.path().to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        [
            &["probe", "--unix", "sock"][..],
            &["probe", "http://localhost/health", "--unix", "sock"],
            &["probe", "http://localhost/nothing", "--unix", "sock"],
            &["probe", "--unix", "missing"],
        ]
        .map(|arguments| vitalsign(&path, arguments).code)
    });
    assert_eq!(asked.await.expect("it ends"), [Some(0), Some(0), Some(1), Some(1)]);
    served.abort();
}

#[test]
fn schema_prints_a_schema_whatever_the_configuration_is() {
    let dir = configured("no TOML at all");
    let ended = vitalsign(dir.path(), &["schema"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["server"]["properties"]["drain_delay"]["default"], "10s");
    assert_eq!(schema, vitalsign::config::schema(vitalsign::checks::KINDS));
}

#[test]
fn kinds_lists_every_kind_with_its_summary() {
    let dir = tempfile::tempdir().expect("a directory");
    let ended = vitalsign(dir.path(), &["kinds"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines.len(), vitalsign::checks::KINDS.len());
    for (line, kind) in lines.iter().zip(vitalsign::checks::KINDS) {
        assert!(line.starts_with(&format!("{} ", kind.name)), "{line}");
        assert!(line.ends_with(kind.summary), "{line}");
    }
}

#[test]
fn kinds_describes_one_with_types_and_defaults() {
    let dir = tempfile::tempdir().expect("a directory");
    for kind in vitalsign::checks::KINDS {
        assert_eq!(vitalsign(dir.path(), &["kinds", kind.name]).code, Some(0), "{}", kind.name);
    }
    let http = vitalsign(dir.path(), &["kinds", "http"]).out;
    for line in [
        "http: one request; status, headers, body",
        "  url: secret; required",
        "  method: string; default \"GET\"",
        "  expect.status: list of http status; default [\"2xx\"]",
        "  basic_auth.password: secret; required in basic_auth",
        "  tls.insecure: boolean; default false",
        "  path: A path, relative to the file that holds it.",
    ] {
        assert!(http.lines().any(|found| found == line), "{line}\n{http}");
    }
    assert!(http.lines().all(|line| line.chars().count() <= 90), "{http}");
}

#[test]
fn an_unknown_kind_is_2_with_the_nearest_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let near = vitalsign(dir.path(), &["kinds", "htpp"]);
    assert_eq!((near.code, near.out.as_str()), (Some(2), ""));
    assert!(near.err.contains("unknown kind `htpp`; did you mean `http`?"), "{near:?}");
    let far = vitalsign(dir.path(), &["kinds", "nonsense"]);
    assert_eq!(far.code, Some(2));
    assert!(far.err.contains("`disk`, `dns`"), "{far:?}");
}
