//! Who is shown more than names and statuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::daemon::{free_port, wait_for};
use crate::support::http::Answer;
use crate::support::service::Service;

const CLOAKED: [&str; 6] = ["reason", "message", "measurements", "labels", "trace_id", "instance"];

async fn down(server: &str) -> Service {
    let closed = free_port();
    let config = format!(
        r#"
        [server]
        {server}
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{closed}"
        interval = "1s"
        "#
    );
    let service = Service::start(&config).await;
    service.ready_is(503, r#"{"status":"down","cache":"down"}"#).await;
    service
}

fn shows_details(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let shown = CLOAKED.map(|key| answer.body.contains(&format!(r#""{key}":"#)));
    assert!(shown == [true; 6] || shown == [false; 6], "all or none: {}", answer.body);
    shown[0]
}

const METRICS_OPEN: &str = "/metrics is open to everybody who reaches this listener, and names hosts, \
                            ports and labels: `server.metrics_token` would protect it";

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

#[tokio::test]
async fn loopback_shows_them_to_local_clients_and_to_the_token() {
    let service = down("token = \"right\"\ndetails = \"loopback\"").await;
    assert!(shows_details(&service.get("/status").await));
    assert!(!shows_details(&service.get_with("/status", &[FORWARDED]).await));
    let right = ("authorization", "Bearer right");
    assert!(shows_details(&service.get_with("/status", &[FORWARDED, right]).await));
    let one = service.get_with("/status/cache", &[FORWARDED]).await;
    assert!(!one.body.contains("connection_refused"), "{}", one.body);

    let verbose = service.get_with("/ready?verbose", &[FORWARDED]).await.body;
    assert_eq!(verbose, "[-]cache failed: reason withheld\nready check failed\n");
    let verbose = service.get_with("/ready?verbose", &[FORWARDED, right]).await.body;
    assert_eq!(verbose, "[-]cache failed: connection_refused\nready check failed\n");
    let ietf = ("accept", "application/health+json");
    let hidden = service.get_with("/ready", &[FORWARDED, ietf]).await.body;
    assert!(!hidden.contains("output") && !hidden.contains("refused"), "{hidden}");
}

/// `Basic` with `password`, as a browser sends it.
fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("anybody:{password}")))
}

#[tokio::test]
async fn with_a_file_auto_shows_them_to_the_token_alone_as_bearer_or_as_password() {
    for server in
        ["token = \"right\"\ndetails = \"auto\"", "token = \"right\"\ndetails = \"token\""]
    {
        let service = down(server).await;
        assert!(!shows_details(&service.get("/status").await));
        let verbose = service.get("/ready?verbose").await.body;
        assert_eq!(verbose, "[-]cache failed: reason withheld\nready check failed\n");
        for given in ["Bearer right", &basic("right")] {
            let right = ("authorization", given);
            assert!(shows_details(&service.get_with("/status", &[FORWARDED, right]).await));
            let verbose = service.get_with("/ready?verbose", &[right]).await.body;
            assert!(verbose.contains("connection_refused"), "{verbose}");
            for path in ["/", "/checks/cache", "/status/incidents", "/status/cache"] {
                let shown = service.get_with(path, &[right]).await;
                assert!(shown.body.contains("connection_refused"), "{path}: {}", shown.body);
                let hidden = service.get(path).await;
                assert!(!hidden.body.contains("connection_refused"), "{path}: {}", hidden.body);
            }
        }
        let wrong = service.get_with("/status", &[("authorization", &basic("wrong"))]).await;
        assert_eq!(wrong.status, 401);
        assert!(wrong.head().contains("www-authenticate: Basic realm="), "{}", wrong.head());
    }
}

#[tokio::test]
async fn without_a_file_local_clients_see_them_and_the_start_says_so() {
    let service = Service::start("").await;
    assert!(service.get("/status").await.body.contains("\"instance\":"));
    let hidden = service.get_with("/status", &[FORWARDED]).await;
    assert!(!hidden.body.contains("\"instance\":"), "{}", hidden.body);
    assert!(service.log().contains("a proxy on this host"), "{}", service.log());
    service.logged(METRICS_OPEN).await;
    assert!(!service.get("/").await.body.contains("?details"), "there is no token to ask for");
    let nobody = down("details = \"auto\"").await;
    assert!(nobody.log().contains("nobody sees details"), "{}", nobody.log());
}

#[tokio::test]
async fn the_page_leads_a_browser_to_details() {
    let service = down("token = \"right\"\ndetails = \"auto\"").await;
    for (path, link) in [("/", "./?details\""), ("/checks/cache", "../?details=cache\"")] {
        let page = service.get(path).await.body;
        assert!(page.contains(&format!("href=\"{link}>Show causes</a>")), "{page}");
        assert!(!page.contains("/metrics\""), "it names hosts and ports: {page}");
    }
    let asked = service.get("/?details").await;
    assert_eq!(asked.status, 401);
    assert!(asked.head().contains("www-authenticate: Basic realm="), "{}", asked.head());
    let given = basic("right");
    // Back to where the link was, and to no place that is none of ours.
    for (asked, back) in [
        ("/?details", "./"),
        ("/?details=cache", "./checks/cache"),
        ("/?details=none", "./"),
        ("/?details=//elsewhere.example", "./"),
    ] {
        let answer = service.get_with(asked, &[("authorization", &given)]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(back)), "{asked}");
    }
    for path in ["/", "/checks/cache"] {
        let page = service.get_with(path, &[("authorization", &given)]).await.body;
        assert!(page.contains("connection_refused") && !page.contains("?details"), "{page}");
        assert!(page.contains("/metrics\""), "{page}");
    }
    let never = down("token = \"right\"\ndetails = \"never\"").await;
    assert!(!never.get("/").await.body.contains("?details"));
    assert_eq!(never.get("/?details").await.status, 200);
}

#[tokio::test]
async fn a_wrong_token_is_401_where_details_are_served_and_ignored_on_probes() {
    let service = down(r#"token = "right""#).await;
    let wrong = [FORWARDED, ("authorization", "Bearer wrong")];
    let refused = service.get_with("/status", &wrong).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert!(!refused.body.contains("wrong\""), "{}", refused.body);
    let probe = service.get_with("/ready?verbose", &wrong).await;
    assert_eq!(probe.status, 503);
    assert!(probe.body.contains("reason withheld"));
    for _ in 0..20 {
        service.get_with("/status", &wrong).await;
    }
    let many = service.get_with("/status", &wrong).await;
    assert_eq!(many.status, 429);
    assert!(many.header("retry-after").is_some());
    let right = service.get_with("/status", &[FORWARDED, ("authorization", "Bearer right")]).await;
    assert_eq!(right.status, 200);
}

#[tokio::test]
async fn never_hides_them_even_from_local_clients() {
    let service = down(r#"details = "never""#).await;
    assert!(!shows_details(&service.get("/status").await));
    let verbose = service.get("/ready?verbose").await.body;
    assert!(verbose.contains("reason withheld"), "{verbose}");
}

#[tokio::test]
async fn always_shows_them_even_behind_a_proxy() {
    let service = down(r#"details = "always""#).await;
    assert!(shows_details(&service.get_with("/status", &[FORWARDED]).await));
}

#[tokio::test]
async fn metrics_may_ask_for_a_token_of_their_own() {
    let service = down("metrics_token = \"scrape\"\ndetails = \"always\"").await;
    assert_eq!(service.get("/metrics").await.status, 401);
    assert!(!service.log().contains("/metrics is open"), "{}", service.log());
    let wrong = service.get_with("/metrics", &[("authorization", "Bearer x")]).await;
    assert_eq!(wrong.status, 401);
    for given in ["Bearer scrape", &basic("scrape")] {
        let right = service.get_with("/metrics", &[("authorization", given)]).await;
        assert_eq!(right.status, 200);
    }
    assert_eq!(service.get("/ready").await.status, 503);
    let status: Value = service.status().await;
    assert_eq!(status["status"], "down");
}

#[tokio::test]
async fn a_refused_configuration_shows_to_those_with_the_right_until_it_is_mended() {
    let config = "[server]\ndetails = \"auto\"\ntoken = \"right\"\n[checks.disk]\nkind = \"disk\"\npath = \"/\"\n";
    let service = Service::start(config).await;
    let right = [("authorization", "Bearer right")];
    let file = service.dir.path().join("vitalsign.toml");
    let status = async || -> Value {
        let answer = service.get_with("/status", &right).await;
        serde_json::from_str(&answer.body).expect("JSON")
    };
    assert_eq!(status().await["refused_reload"], Value::Null);
    assert!(!status().await.as_object().expect("an object").contains_key("refused_reload"));

    std::fs::write(&file, format!("{config}pth = \"/tmp\"\n")).expect("a file");
    service.signal(Signal::HUP);
    wait_for("the refusal", async || status().await["refused_reload"].is_object()).await;
    let refused = status().await["refused_reload"].clone();
    let wrong = "vitalsign.toml:7:1: checks.disk.pth: unknown option; did you mean `path`?";
    assert_eq!(refused["errors"], serde_json::json!([wrong]));
    assert!(refused["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{refused}");
    let open = service.get("/status").await.body;
    assert!(!open.contains("refused_reload"), "{open}");
    for (path, headers, shown) in
        [("/", &right[..], true), ("/checks/disk", &right[..], true), ("/", &[][..], false)]
    {
        let is_as_wanted = async || {
            let page = service.get_with(path, headers).await.body;
            page.contains("is not in force") == shown && page.contains("checks.disk.pth") == shown
        };
        wait_for(path, is_as_wanted).await;
    }

    std::fs::write(&file, config).expect("a file");
    service.signal(Signal::HUP);
    wait_for("the end of it", async || status().await["refused_reload"].is_null()).await;
}
