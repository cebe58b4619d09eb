//! Requests as odd as clients come: each has an answer, and none of them is 500.

use crate::support::http::{Answer, Client};
use crate::support::service::Service;

const CONFIG: &str = r#"
    [server]
    token = "right"
    drain_delay = "1ms"
    [checks.database]
    kind = "sqlite"
    path = "own.db"
    create = true
    [checks.cache_2]
    kind = "sqlite"
    path = "own.db"
    create = true
"#;

/// Every check in the two forms of an answer.
const BOTH: &str = "[+]cache_2 ok\n[+]database ok\nready check passed\n";
const JSON: &str = r#"{"status":"up","cache_2":"up","database":"up"}"#;

const HEALTH: &str = "application/health+json";
const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

async fn started() -> Service {
    let service = Service::start(CONFIG).await;
    service.ready_is(200, r#"{"status":"up","cache_2":"up","database":"up"}"#).await;
    service
}

/// Sends these bytes on a connection of their own; `None` when it is closed without an answer.
async fn raw(service: &Service, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut client = Client::connect(service.address).await;
    client.send(bytes).await;
    client.answer().await
}

async fn is_well(service: Service) {
    assert_eq!(service.get("/health").await.status, 200);
    let (status, log) = service.stop().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panic"), "{log}");
}

#[tokio::test]
async fn a_query_is_read_as_forms_are() {
    let service = started().await;
    for query in ["verbose", "verbose=", "verbose=1", "verbose=true", "a=b&verbose", "%76erbose"] {
        assert_eq!(service.get(&format!("/ready?{query}")).await.body, BOTH, "{query}");
    }
    for query in ["", "verbose=0", "verbose=false", "Verbose", "&&=&", "exclude=", "exclude=x"] {
        assert_eq!(service.get(&format!("/ready?{query}")).await.body, JSON, "{query}");
    }
    for (query, body) in [
        ("verbose&exclude=database", "[+]cache_2 ok\nready check passed\n"),
        ("verbose&exclude=%64atabase", "[+]cache_2 ok\nready check passed\n"),
        ("exclude=cache%5F2&verbose=1&exclude=database", "ready check passed\n"),
        ("exclude=database", r#"{"status":"up","cache_2":"up"}"#),
        ("exclude=database&exclude=database&exclude=cache_2", r#"{"status":"up"}"#),
        ("exclude=database,cache_2", JSON),
        (
            "verbose&exclude=%00&exclude=%ff%fe&exclude=database",
            "[+]cache_2 ok\nwarn: 2 of the excluded names belong to no check\nready check passed\n",
        ),
    ] {
        let answer = service.get(&format!("/ready?{query}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{query}");
    }
    let long = format!("verbose&{}exclude=cache_2", "exclude=nobody&".repeat(2000));
    let answer = service.get(&format!("/ready?{long}")).await;
    let body =
        "[+]database ok\nwarn: 2000 of the excluded names belong to no check\nready check passed\n";
    assert_eq!((answer.status, answer.body.as_str()), (200, body));
    is_well(service).await;
}

#[tokio::test]
async fn what_a_client_accepts_decides_between_the_two_forms_alone() {
    let service = started().await;
    for (accept, wanted) in [
        ("", "application/json"),
        ("text/html", "application/json"),
        (";;;=,/,*", "application/json"),
        ("application/health+json;q=x", "application/json"),
        ("application/health+json;q=0.000", "application/json"),
        ("application/health+json;q=0.5,application/json", "application/json"),
        ("\u{e9}", "application/json"),
        ("application/health+json ; q=1, text/html", HEALTH),
        ("APPLICATION/HEALTH+JSON", HEALTH),
    ] {
        for path in ["/ready", "/health", "/startup", "/ready/database", "/health/database"] {
            let answer = service.get_with(path, &[("accept", accept)]).await;
            assert_eq!(answer.status, 200, "{path} {accept}");
            assert_eq!(answer.header("content-type"), Some(wanted), "{path} {accept}");
        }
    }
    let both = [("accept", "text/html"), ("accept", HEALTH)];
    let answer = service.get_with("/ready", &both).await;
    assert_eq!(answer.header("content-type"), Some(HEALTH), "two lines are one list");
    let text = service.get_with("/ready?verbose", &[("accept", HEALTH)]).await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    is_well(service).await;
}

#[tokio::test]
async fn a_path_that_is_no_route_is_a_404_problem() {
    let service = started().await;
    for path in [
        "/health/",
        "/ready/",
        "/status/",
        "/metrics/",
        "//health/",
        "/Health",
        "/health/database/",
        "/ready/database/x",
        "/startup/database",
        "/status/nobody/history",
        "/status/database/nothing",
        "/ready/%00",
        "/ready/DATABASE",
        "/ready/..%2fhealth",
        "/status/nobody",
        "/%68ealthy",
        "/favicon.ico",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = service.ask(method, path, &[]).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("application/problem+json"), "{method} {path}");
        }
    }
    for path in ["/ready/%ff", "/status/%ff%fe", "/health/%c3%28"] {
        let answer = service.get(path).await;
        assert!((400..=404).contains(&answer.status), "{path}: {}", answer.status);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{path}: {}", answer.body);
        assert!(!answer.body.contains('\u{fffd}') && !answer.body.contains('%'), "{}", answer.body);
    }
    let encoded = service.get("/ready/%64atabase").await;
    assert_eq!((encoded.status, encoded.body.as_str()), (200, r#"{"status":"up"}"#));
    is_well(service).await;
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let service = started().await;
    for path in [
        "/health",
        "/healthz",
        "/livez",
        "/ready",
        "/readyz",
        "/startup",
        "/startupz",
        "/ready?verbose",
        "/ready/database",
        "/health/database",
        "/metrics",
        "/status/database",
    ] {
        let get = service.get(path).await;
        let request = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut client = Client::connect(service.address).await;
        client.send(request).await;
        let head = client.head().await.expect("an answer");
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert!(head.header("content-length").is_some_and(|l| l != "0"), "{path}");
        assert_eq!(client.closed().await, 0, "{path}: no body");
    }
    is_well(service).await;
}

#[tokio::test]
async fn old_and_odd_requests_are_answered() {
    let service = started().await;
    let old = raw(&service, "GET /ready HTTP/1.0\r\n\r\n").await.expect("an answer");
    assert_eq!(old.status, 200);
    let absolute = "GET http://elsewhere.example/ready?verbose HTTP/1.1\r\nhost: x\r\n\r\n";
    let absolute = raw(&service, absolute).await.expect("an answer");
    assert!(absolute.body.ends_with("ready check passed\n"), "{}", absolute.body);
    for bytes in [
        &b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
        b"GET /ready?\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /ready?verbose&exclude=\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nhost: x\r\naccept: \xff\xfe\r\n\r\n",
        b"GET /ready HTTP/1.1\r\n\r\n",
        b"GET /ready HTTP/9.9\r\nhost: x\r\n\r\n",
        b"get /ready HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        if let Some(answer) = raw(&service, bytes).await {
            let shown = String::from_utf8_lossy(bytes);
            assert!(answer.status < 500, "{shown}: {}", answer.status);
        }
    }
    let enormous = format!("GET /ready?{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(1 << 20));
    if let Some(answer) = raw(&service, enormous).await {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    is_well(service).await;
}

#[tokio::test]
async fn of_two_tokens_the_first_is_the_one_and_other_schemes_are_none() {
    let service = started().await;
    let (right, wrong) = (("authorization", "Bearer right"), ("authorization", "Bearer wrong"));
    for (headers, code, details) in [
        (&[FORWARDED, right, wrong][..], 200, true),
        (&[FORWARDED, wrong, right], 401, false),
        (&[FORWARDED, ("authorization", "bearer  right ")], 200, true),
        (&[FORWARDED, ("authorization", "Basic right")], 200, false),
        (&[FORWARDED, ("authorization", "Bearer")], 200, false),
        (&[FORWARDED, ("authorization", "Bearer ")], 200, false),
        (&[FORWARDED, ("authorization", "Bearer r\u{e9}")], 401, false),
        (&[FORWARDED, ("authorization", "")], 200, false),
    ] {
        let answer = service.get_with("/status", headers).await;
        assert_eq!(answer.status, code, "{headers:?}: {}", answer.body);
        assert_eq!(answer.body.contains("\"trace_id\""), details, "{headers:?}");
    }
    is_well(service).await;
}
