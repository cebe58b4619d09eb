//! What is posted to Alertmanagers that take it, refuse it, are slow or gone.

use std::collections::VecDeque;
use std::sync::Mutex;

use vitalsign::{History, HistoryOptions};

use super::*;
use crate::support::daemon::free_port;
use crate::support::peer::{http_answer, silent};
use crate::support::stage::{LONG, recorder};

/// A peer that gives these answers, then 200 to everything.
async fn answering(answers: &[(&'static str, &'static str)]) -> Peer {
    let answers = Mutex::new(VecDeque::from(answers.to_vec()));
    Peer::http(move |_| {
        let (status, headers) =
            answers.lock().expect("its turn").pop_front().unwrap_or(("200 OK", ""));
        http_answer(status, headers, "hunter2")
    })
    .await
}

#[tokio::test]
async fn a_failure_is_told_once_and_its_end_when_it_ends() {
    let peer = answering(&[]).await;
    let db = Dependency::default();
    db.fails();
    let sender = sender(&[format!("{}/prefix/", url(&peer))]).start().expect("a sender");
    let _health = health(&sender, &[("db", &db)]);
    assert_eq!(checks(&posted(&peer, 1).await[0]), ["db"]);
    db.serves();
    let all = posted(&peer, 2).await;
    assert_eq!(checks(&all[1]), ["-db"]);
    assert_eq!(all[0][0]["labels"], all[1][0]["labels"]);
    assert_eq!(all[0][0]["startsAt"], all[1][0]["startsAt"]);
    let head = &peer.requests()[0];
    assert!(head.starts_with("POST /prefix/api/v2/alerts HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-type: application/json\r\n"), "{head}");
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again() {
    let (recorder, metrics) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let busy = ("429 Too Many Requests", "Retry-After: 1\r\n");
    let peer = answering(&[("500 Internal Server Error", ""), busy]).await;
    let sender = sender(&[url(&peer)]).start().expect("a sender");
    let posted_as = |outcome, count: u64| {
        let line = format!("health_alertmanager_posts_total{{outcome=\"{outcome}\"}} {count}");
        metrics.render().lines().any(|l| l == line)
    };
    assert!(posted_as("success", 0) && posted_as("failure", 0), "{}", metrics.render());
    let db = Dependency::default();
    db.fails();
    let _health = health(&sender, &[("db", &db)]);
    wait_for("the third post", async || posted_as("success", 1)).await;
    assert!(posted_as("failure", 2), "{}", metrics.render());
    let all = posts(&peer);
    assert_eq!(all.iter().map(|post| checks(post)).collect::<Vec<_>>(), [["db"]; 3]);
}

#[tokio::test]
async fn what_is_refused_for_good_waits_for_its_turn() {
    for refusal in ["400 Bad Request", "401 Unauthorized", "302 Found"] {
        let peer = answering(&[(refusal, "Location: /elsewhere\r\n")]).await;
        let sender = sender(&[url(&peer)]).start().expect("a sender");
        let (db, cache) = (Dependency::default(), Dependency::default());
        db.fails();
        let _health = health(&sender, &[("cache", &cache), ("db", &db)]);
        assert_eq!(checks(&posted(&peer, 1).await[0]), ["db"]);
        cache.fails();
        assert_eq!(checks(&posted(&peer, 2).await[1]), ["cache"], "{refusal}");
    }
}

#[tokio::test]
async fn an_alert_that_fires_is_told_again() {
    let peer = answering(&[]).await;
    let again = Duration::from_millis(50);
    let sender = sender(&[url(&peer)]).resend_every(again).start().expect("a sender");
    let db = Dependency::default();
    db.fails();
    let _health = health(&sender, &[("db", &db)]);
    let all = posted(&peer, 4).await;
    let ends: Vec<jiff::Timestamp> =
        all.iter().map(|post| post[0]["endsAt"].as_str().unwrap().parse().unwrap()).collect();
    assert!(ends.is_sorted() && ends[0] < ends[3], "{ends:?}");
    assert!(all.iter().all(|post| post[0]["startsAt"] == all[0][0]["startsAt"]));
}

#[tokio::test]
async fn one_that_hangs_or_is_gone_delays_no_other() {
    let (deaf, peer) = (Peer::start(silent()).await, answering(&[]).await);
    let gone = format!("http://127.0.0.1:{}", free_port());
    let urls = [url(&deaf), gone, url(&peer)];
    let sender = sender(&urls).timeout(LONG).start().expect("a sender");
    let db = Dependency::default();
    db.fails();
    let health = health(&sender, &[("db", &db)]);
    posted(&peer, 1).await;
    deaf.has_accepted(1).await;
    db.serves();
    assert_eq!(checks(&posted(&peer, 2).await[1]), ["-db"]);
    let runs = || health.state().check("db").expect("it is planned").last_run;
    let before = runs();
    wait_for("further runs", async || runs() != before).await;
}

#[tokio::test]
async fn one_that_was_away_is_told_what_is_true_then() {
    let peer = Peer::http(|_| http_answer("503 Service Unavailable", "", "")).await;
    let sender = sender(&[url(&peer)]).start().expect("a sender");
    let (db, cache) = (Dependency::default(), Dependency::default());
    db.fails();
    let _health = health(&sender, &[("cache", &cache), ("db", &db)]);
    assert_eq!(checks(&posted(&peer, 1).await[0]), ["db"]);
    db.serves();
    cache.fails();
    let newest = || posts(&peer).pop().expect("a post");
    wait_for("the newest state", async || checks(&newest()) == ["-db", "cache"]).await;
}

#[tokio::test]
async fn credentials_go_in_a_header_and_are_shown_nowhere() {
    let peer = answering(&[]).await;
    let url = format!("http://user:hunter2@{}", peer.address);
    let sender = sender(&[url]).start().expect("a sender");
    assert!(!format!("{sender:?}").contains("hunter2"), "{sender:?}");
    let db = Dependency::default();
    db.fails();
    let _health = health(&sender, &[("db", &db)]);
    posted(&peer, 1).await;
    let head = peer.requests()[0].to_lowercase();
    assert!(head.contains("\r\nauthorization: basic dxnlcjpodw50zxiy\r\n"), "{head}");
    let wrong = super::sender(&["http://fine".to_owned(), "hunter2".to_owned()]);
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
    let error = wrong.start().expect_err("it is no URL").to_string();
    assert!(error.starts_with("URL 2 of") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn headers_and_a_token_go_with_each_post_and_are_shown_nowhere() {
    let peer = answering(&[]).await;
    let whole = format!("{}/api/v2/alerts", url(&peer));
    let sender = sender(&[whole])
        .header("X-Scope-OrgID", Secret::new("hunter2"))
        .token(&Secret::new("hunter3"));
    assert!(!format!("{sender:?}").contains("hunter"), "{sender:?}");
    let sender = sender.start().expect("a sender");
    assert!(!format!("{sender:?}").contains("hunter"), "{sender:?}");
    let db = Dependency::default();
    db.fails();
    let _health = health(&sender, &[("db", &db)]);
    posted(&peer, 1).await;
    let head = peer.requests()[0].to_lowercase();
    assert!(head.starts_with("post /api/v2/alerts http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-scope-orgid: hunter2\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer hunter3\r\n"), "{head}");

    let wrong = super::sender(&[url(&peer)]).header("X-Key", Secret::new("hunter2\n"));
    let error = wrong.start().expect_err("no header").to_string();
    assert!(error.contains("X-Key") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn an_answer_with_odd_headers_is_read_and_its_alerts_are_not_sent_again() {
    for odd in [
        "X-Folded: a\r\n\tb\r\n".to_owned(),
        "X-Blank : a\r\n".to_owned(),
        "Set-Cookie: a=\x01b\r\n".to_owned(),
        "no header at all\r\n".to_owned(),
        "X Y: a\r\n".to_owned(),
        "X-Latin: caf\u{e9}\r\n".to_owned(),
        "Content-Encoding: gzip\r\n".to_owned(),
        "X-Many: 1\r\n".repeat(300),
    ] {
        let answer = http_answer("200 OK", &odd, "taken");
        let peer = Peer::http(move |_| answer.clone()).await;
        let sender = sender(&[url(&peer)]).start().expect("a sender");
        let db = Dependency::default();
        db.fails();
        let _health = health(&sender, &[("db", &db)]);
        posted(&peer, 1).await;
        // It would be sent again now, were the first post taken for a failure.
        sender.stop(LONG).await;
        assert_eq!(peer.requests().len(), 1, "{odd:?}");
    }
}

#[tokio::test]
async fn an_alert_goes_on_over_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("history.db");
    let db = Dependency::default();
    db.fails();
    let mut starts = Vec::new();
    for _ in ["before", "after"] {
        let peer = answering(&[]).await;
        let history = History::open(HistoryOptions::file(&file, "orders", "orders-1"));
        let history = history.await.expect("a history");
        let sender = sender(&[url(&peer)]).start().expect("a sender");
        let health = Health::builder("orders").history(history.clone()).sink(sender.sink());
        let health = health.check("db", db.check()).build().expect("a check that can be run");
        let posts = posted(&peer, 1).await;
        let since = health.state().check("db").expect("it is planned").since;
        let since = jiff::Timestamp::try_from(since).expect("a time");
        assert_eq!(posts[0][0]["startsAt"], format!("{since:.3}"));
        starts.push(posts[0][0]["startsAt"].clone());
        drop(health);
        sender.stop(LONG).await;
        history.close(LONG).await;
    }
    assert_eq!(starts[0], starts[1]);
}

#[tokio::test]
async fn a_stop_tells_what_is_not_known_yet_and_resolves_nothing() {
    let peer = answering(&[("429 Too Many Requests", "Retry-After: 300\r\n")]).await;
    let sender = sender(&[url(&peer)]).start().expect("a sender");
    let db = Dependency::default();
    db.fails();
    let health = health(&sender, &[("db", &db)]);
    assert_eq!(checks(&posted(&peer, 1).await[0]), ["db"]);
    drop(health);
    sender.stop(LONG).await;
    let all = posts(&peer);
    assert_eq!(all.len(), 2);
    assert_eq!(checks(&all[1]), ["db"], "a stop is no recovery");
}

#[tokio::test]
async fn a_stop_takes_no_longer_than_it_may() {
    let deaf = Peer::start(silent()).await;
    let sender = sender(&[url(&deaf)]).timeout(LONG).start().expect("a sender");
    let db = Dependency::default();
    db.fails();
    let _health = health(&sender, &[("db", &db)]);
    deaf.has_accepted(1).await;
    // Were it not bounded, the test would not end.
    sender.stop(Duration::from_millis(50)).await;
}

#[test]
fn a_sender_outside_of_a_runtime_is_refused() {
    let error = sender(&["http://127.0.0.1:9093".to_owned()]).start().expect_err("no runtime");
    assert!(error.to_string().contains("runtime"), "{error}");
}
