//! The pages as they are answered: who sees what, and what a browser may keep and load.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::{Router, routing};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tower::ServiceExt;
use vitalsign::{Health, every};

use crate::support::daemon::free_port;
use crate::support::http::Answer;
use crate::support::service::Service;

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");
const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

async fn started() -> Service {
    let closed = free_port();
    let config = format!(
        r#"
        [service]
        instance = "instance-of-it"
        [defaults]
        interval = "1s"
        [checks.cache]
        kind = "tcp"
        address = "127.0.0.1:{closed}"
        labels = {{ team = "label-of-a-team" }}
        [checks.root]
        kind = "disk"
        path = "/"
        "#
    );
    let service = Service::start(&config).await;
    service.ready_is(503, r#"{"status":"down","cache":"down","root":"up"}"#).await;
    service
}

/// The addresses of what a page loads.
fn loaded(page: &str) -> Vec<String> {
    let parts = page.split("assets/").skip(1);
    parts.filter_map(|part| Some(format!("/assets/{}", part.split_once('"')?.0))).collect()
}

#[tokio::test]
async fn a_page_says_in_words_how_it_is_and_may_load_only_its_own() {
    let service = started().await;
    for path in ["/", "/checks/cache", "/checks/root"] {
        let page = service.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let elsewhere = page.body.matches("http").count() - page.body.matches("http-equiv").count();
        assert_eq!(elsewhere, 0, "{path} names another host");
        for inline in ["<style", " style=", " onload=", " onclick=", "javascript:"] {
            assert!(!page.body.contains(inline), "{path} has {inline}, which its policy forbids");
        }
    }
    let page = service.get("/").await.body;
    assert!(page.contains("<h1>1 of 2 checks is down: cache</h1>"), "{page}");
}

#[tokio::test]
async fn what_a_page_loads_may_be_kept_for_good() {
    let service = started().await;
    let names = loaded(&service.get("/").await.body);
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        let asset = service.get(&name).await;
        assert_eq!(asset.status, 200, "{name}");
        let kept = asset.header("cache-control").expect("a header");
        assert_eq!(kept, "public, max-age=31536000, immutable");
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
        let zipped = service.ask("HEAD", &name, &[("accept-encoding", "gzip")]).await;
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{name}");
    }
    assert_eq!(service.get("/assets/style.css").await.status, 404);
}

#[tokio::test]
async fn details_are_withheld_from_those_without_the_right() {
    let service = started().await;
    let details = ["connection_refused", "Connection refused", "label-of-a-team", "instance-of-it"];
    for path in ["/", "/checks/cache"] {
        let page = service.get_with(path, &[FORWARDED]).await;
        assert_eq!(page.status, 200, "{path}");
        let shown: Vec<_> = details.iter().filter(|detail| page.body.contains(**detail)).collect();
        assert!(shown.is_empty(), "{path} shows {shown:?}");
    }
    let page = service.get("/checks/cache").await.body;
    for detail in ["connection_refused", "label-of-a-team", "instance-of-it"] {
        assert!(page.contains(detail), "{detail} is missing");
    }
}

#[tokio::test]
async fn a_check_that_is_not_there_is_a_404_for_people_and_for_programs() {
    let service = started().await;
    for path in ["/checks/sneaky", "/checks/%ff", "/checks/%3Cb%3E"] {
        let page = service.get_with(path, &[BROWSER]).await;
        assert_eq!(page.status, 404, "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(!page.body.contains("sneaky") && page.body.contains("no check of this name"));
        let problem = service.get(path).await;
        assert_eq!(problem.status, 404, "{path}");
        assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    }
    for path in ["/badge/sneaky.svg", "/badge/cache", "/badge/%ff", "/assets/%ff"] {
        assert_eq!(service.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_badge_shows_a_status_and_nothing_else() {
    let service = started().await;
    let badge = service.get_with("/badge/cache.svg", &[FORWARDED]).await;
    assert_eq!((badge.status, badge.header("content-type")), (200, Some("image/svg+xml")));
    assert!(badge.body.contains("aria-label=\"cache: down\""), "{}", badge.body);
    assert_eq!(badge.header("cache-control"), Some("no-store"));
    let badge = service.get("/badge/root.svg").await;
    assert!(badge.body.contains("aria-label=\"root: up\""), "{}", badge.body);
}

#[tokio::test]
async fn pages_answer_head_and_refuse_other_methods() {
    let service = started().await;
    for path in ["/", "/checks/cache", "/badge/cache.svg"] {
        let head = service.ask("HEAD", path, &[]).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let refused = service.ask(method, path, &[]).await;
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.header("allow"), Some("GET,HEAD"), "{path}");
        }
    }
}

#[tokio::test]
async fn whatever_a_query_says_the_page_is_there() {
    let service = started().await;
    for query in ["page=0", "page=2", "page=-1", "page=18446744073709551616", "page=%ff", "x", ""] {
        assert_eq!(service.get(&format!("/?{query}")).await.status, 200, "{query}");
    }
    for query in ["range=7d", "range=", "range=1000y", "after=%00", "after=x&range=1h", "%ff=%fe"] {
        assert_eq!(service.get(&format!("/checks/root?{query}")).await.status, 200, "{query}");
    }
}

async fn get(app: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).header("accept", "text/html").body(Body::empty());
    let answer = app.clone().oneshot(request.expect("a request")).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_host_puts_the_pages_where_it_has_room() {
    let check = every(Duration::from_secs(10)).from_fn(|| async { Ok::<_, std::io::Error>(()) });
    let health = Health::builder("orders").check("cache", check).build().expect("a check");
    let own = Router::new().route("/", routing::get(|| async { "the host's" }));
    let host: Router = own.merge(health.router()).nest_service("/vitals", health.into_app());
    assert_eq!(get(&host, "/").await, (200, "the host's".to_owned()));
    let (status, page) = get(&host, "/vitals").await;
    assert_eq!(status, 200);
    assert!(page.contains("href=\"./vitals/checks/cache\""), "{page}");
    assert!(page.contains("data-base=\"./vitals/\""), "{page}");
    assert!(page.contains("No history is kept"), "{page}");
    let (status, page) = get(&host, "/vitals/checks/cache").await;
    assert!(status == 200 && page.contains("data-base=\"../\""), "{page}");
    for name in loaded(&page) {
        assert_eq!(get(&host, &format!("/vitals{name}")).await.0, 200, "{name}");
    }
    assert_eq!(get(&host, "/vitals/events/none").await.0, 404);
}

#[tokio::test]
async fn the_last_hour_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let history = format!(
        "[server]\ndrain_delay = \"10ms\"\n[history]\nurl = \"sqlite:{}\"\n",
        dir.path().join("h.db").display()
    );
    let has_curve = |page: &Answer| page.body.contains("class=\"spark\"");
    let asked = "[checks.root]\nkind = \"disk\"\npath = \"/\"\ninterval = \"1s\"\n";
    let before = Service::start(&format!("{history}{asked}")).await;
    before.get_until("/", has_curve).await;
    before.stop().await;

    // Its first run after the restart takes longer than this test.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = silent.local_addr().expect("its address");
    let asked = format!(
        "[checks.root]\nkind = \"tcp\"\naddress = \"{address}\"\nexpect.regex = \"x\"\n\
         interval = \"1h\"\ntimeout = \"30m\"\n"
    );
    let after = Service::start(&format!("{history}{asked}")).await;
    let page = after.get_until("/", has_curve).await.body;
    assert!(page.contains("Waiting for its first run"), "{page}");
}
