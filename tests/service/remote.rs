//! `vitalsign status` and `vitalsign incidents`: what a running service says in a terminal.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::certs::Authority;
use crate::support::daemon::{free_port, wait_for};
use crate::support::http::Answer;
use crate::support::service::{Ended, Service, command, run};

/// A service whose check `cache` is down, and `database` up.
fn config() -> String {
    format!(
        r#"
        [service]
        name = "orders"
        [server]
        details = "token"
        token = "s3cr3t"
        [checks.database]
        kind = "sqlite"
        path = "own.db"
        create = true
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{}"
        gates = []
        interval = "1s"
        "#,
        free_port()
    )
}

async fn serving() -> Service {
    let service = Service::start(&config()).await;
    let settled = |answer: &Answer| {
        answer.body.contains("\"status\":\"down\"")
            && !answer.body.contains("\"status\":\"unknown\"")
    };
    service.get_until("/status", settled).await;
    service
}

/// Runs a command in a directory of its own, with these variables.
async fn ask(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command: Command = command(dir, arguments);
    command.env("TZ", "Asia/Kathmandu").envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || run(command)).await.expect("it ends")
}

async fn elsewhere(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let dir = tempfile::tempdir().expect("a directory");
    ask(dir.path(), arguments, variables).await
}

const RIGHT: (&str, &str) = ("VITALSIGN_TOKEN", "s3cr3t");

#[tokio::test]
async fn the_service_and_its_checks_are_shown_with_causes_for_those_with_the_right() {
    let service = serving().await;
    let url = format!("http://{}", service.address);
    let shown = elsewhere(&["status", "--url", &url], &[RIGHT]).await;
    assert_eq!(shown.code, Some(1), "{shown:?}");
    let lines: Vec<&str> = shown.out.lines().collect();
    assert!(lines[0].starts_with("orders is degraded since 20"), "{shown:?}");
    assert!(lines[0].contains(" +0545 ("), "local time: {shown:?}");
    assert!(lines[1].starts_with("live yes, ready yes, started yes; version "), "{shown:?}");
    assert_eq!(
        lines[3].split_whitespace().collect::<Vec<_>>(),
        ["STATUS", "CHECK", "FOR", "CAUSE"]
    );
    assert!(lines[4].starts_with("down      cache "), "{shown:?}");
    assert!(lines[4].contains("connection_refused: "), "{shown:?}");
    assert!(lines[5].starts_with("up        database "), "{shown:?}");
    assert!(!shown.out.contains('\x1b'), "no colour without a terminal: {shown:?}");

    let stranger = elsewhere(&["status", "--url", &url], &[]).await;
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    assert!(stranger.out.contains("down      cache"), "{stranger:?}");
    assert!(!stranger.out.contains("connection_refused"), "{stranger:?}");

    let json = elsewhere(&["status", "--url", &url, "--json"], &[RIGHT]).await;
    assert_eq!(json.code, Some(1), "{json:?}");
    let document: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(document["checks"]["cache"]["last_run"]["reason"], "connection_refused");

    let wrong = elsewhere(&["status", "--url", &url], &[("VITALSIGN_TOKEN", "wrong")]).await;
    assert_eq!(wrong.code, Some(74), "{wrong:?}");
    assert!(wrong.err.contains("401"), "{wrong:?}");
}

#[tokio::test]
async fn one_check_is_shown_in_full_and_its_status_is_the_exit_code() {
    let service = serving().await;
    let url = format!("http://{}/", service.address);
    let up = elsewhere(&["status", "database", "--url", &url], &[RIGHT]).await;
    assert_eq!(up.code, Some(0), "{up:?}");
    assert!(up.out.starts_with("database is up since 20"), "{up:?}");
    for part in ["  kind          sqlite\n", "  gates         ready\n", "availability  1h 100 %"] {
        assert!(up.out.contains(part), "{part}: {up:?}");
    }
    let down = elsewhere(&["status", "cache", "--url", &url], &[RIGHT]).await;
    assert_eq!(down.code, Some(1), "{down:?}");
    assert!(down.out.contains("  reason        connection_refused\n"), "{down:?}");
    let json = elsewhere(&["status", "cache", "--url", &url, "--json"], &[RIGHT]).await;
    assert_eq!(json.code, Some(1), "{json:?}");
    assert!(json.out.contains("\"status\":\"down\""), "{json:?}");
    for name in ["chache", "../metrics", "incidents"] {
        let unknown = elsewhere(&["status", name, "--url", &url], &[RIGHT]).await;
        assert_eq!(unknown.code, Some(2), "{unknown:?}");
        assert!(unknown.err.contains("there are: cache, database"), "{unknown:?}");
    }
}

#[tokio::test]
async fn without_a_url_the_configured_listener_is_asked_with_the_configured_token() {
    let service = serving().await;
    let configured = config()
        .replace("[server]", &format!("[server]\n        listen = \"{}\"", service.address));
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("vitalsign.toml"), configured).expect("to write");
    let shown = ask(dir.path(), &["status"], &[]).await;
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.out.contains("connection_refused"), "{shown:?}");
    // A configuration that happens to lie there gives its token to nobody else.
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", other.local_addr().expect("an address"));
    let arguments = ["status", "--url", &url, "--timeout", "2s"];
    let (asked, heard) = tokio::join!(ask(dir.path(), &arguments, &[]), async {
        use tokio::io::AsyncReadExt;
        let (mut stream, _) = other.accept().await.expect("a client");
        let mut text = vec![0; 4096];
        let length = stream.read(&mut text).await.expect("a request");
        String::from_utf8_lossy(&text[..length]).to_lowercase()
    });
    assert_eq!(asked.code, Some(74), "{asked:?}");
    assert!(!heard.contains("authorization"), "{heard}");
}

#[tokio::test]
async fn what_does_not_answer_is_an_error_of_its_own() {
    let url = format!("http://127.0.0.1:{}", free_port());
    for arguments in [["status", "--url", &url], ["incidents", "--url", &url]] {
        let nobody = elsewhere(&arguments, &[]).await;
        assert_eq!((nobody.code, nobody.out.as_str()), (Some(74), ""), "{nobody:?}");
        assert!(nobody.err.contains("refused"), "{nobody:?}");
    }
    for arguments in [["status", "--url", "nowhere"], ["incidents", "--since", "1"]] {
        assert_eq!(elsewhere(&arguments, &[]).await.code, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_as_probe_speaks_it() {
    let authority = Authority::new();
    let identity = authority.issue("vitals.example");
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("to write");
        path.to_str().expect("text").to_owned()
    };
    let (cert, key) = (file("cert.pem", &identity.cert), file("key.pem", &identity.key));
    let tls = format!("tls = {{ cert = {cert:?}, key = {key:?} }}\ndetails = \"token\"");
    let service = Service::start(&config().replace("details = \"token\"", &tls)).await;
    let url = format!("https://{}", service.address);
    let ca = file("ca.pem", &authority.pem);
    let ca = ca.as_str();
    let verified =
        ["status", "database", "--url", &url, "--ca", ca, "--server-name", "vitals.example"];
    wait_for("the check to be up", async || elsewhere(&verified, &[]).await.code == Some(0)).await;
    let insecure = elsewhere(&["incidents", "--url", &url, "--insecure"], &[]).await;
    assert_eq!(insecure.code, Some(0), "{insecure:?}");
    let unknown = elsewhere(&["status", "--url", &url], &[]).await;
    assert_eq!(unknown.code, Some(74), "{unknown:?}");
}

#[tokio::test]
async fn incidents_are_listed_newest_first_with_local_times() {
    let service = serving().await;
    let url = format!("http://{}", service.address);
    let listed = elsewhere(&["incidents", "--url", &url], &[RIGHT]).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let lines: Vec<&str> = listed.out.lines().collect();
    let titles = ["STATUS", "CHECK", "START", "END", "LASTED", "CAUSE"];
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), titles);
    assert_eq!(lines.len(), 2, "{listed:?}");
    for part in ["cache", " +0545 ", "ongoing", "connection_refused: "] {
        assert!(lines[1].contains(part), "{part}: {listed:?}");
    }
    let stranger = elsewhere(&["incidents", "--url", &url], &[]).await;
    assert_eq!(stranger.code, Some(0), "{stranger:?}");
    assert!(!stranger.out.contains("refused"), "{stranger:?}");

    let none = elsewhere(&["incidents", "--url", &url, "--check", "database"], &[RIGHT]).await;
    let said = (none.code, none.out.as_str());
    assert_eq!(said, (Some(0), "no incidents of database in the last 1day\n"), "{none:?}");
    let json = elsewhere(&["incidents", "--url", &url, "--since", "1h", "--json"], &[RIGHT]).await;
    let document: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(document["incidents"][0]["check"], "cache", "{json:?}");
    assert_eq!(document["next"], Value::Null);
    for name in ["nobody", "No Name"] {
        let unknown = elsewhere(&["incidents", "--url", &url, "--check", name], &[]).await;
        assert_eq!(unknown.code, Some(2), "{unknown:?}");
    }
}

#[tokio::test]
async fn a_service_without_a_history_has_no_incidents_to_show() {
    let service = Service::start(&(config() + "[history]\nurl = \"off\"\n")).await;
    let url = format!("http://{}", service.address);
    let none = elsewhere(&["incidents", "--url", &url], &[RIGHT]).await;
    assert_eq!(none.code, Some(74), "{none:?}");
    assert!(none.err.contains("keeps no history"), "{none:?}");
}
