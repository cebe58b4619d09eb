//! The `http` kind: where a redirect leads, and what does not go along.

use vitalsign::Reason;

use crate::support::checks::{PATIENT, ask, check, failure};
use crate::support::peer::{Peer, http_answer};
use crate::support::spans::{Spans, attribute};

fn redirect(status: &str, location: &str) -> Vec<u8> {
    http_answer(status, &format!("Location: {location}\r\n"), "elsewhere")
}

/// A server that redirects `/` to `location` and answers "here" everywhere else.
async fn leading(status: &'static str, location: &'static str) -> Peer {
    Peer::http(move |request| match request.split(' ').nth(1) {
        Some("/") => redirect(status, location),
        _ => http_answer("200 OK", "", "here"),
    })
    .await
}

fn request_lines(peer: &Peer) -> Vec<String> {
    let requests = peer.requests();
    requests.iter().map(|r| r.lines().next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_redirect_is_an_unexpected_status_unless_it_is_followed() {
    let peer = leading("302 Found", "/there").await;
    let url = format!("url = 'http://{}'\n", peer.address);
    assert_eq!(failure("http", &url).await.reason(), Reason::UnexpectedStatus);
    let following = format!("{url}follow_redirects = true\nexpect.body_regex = 'here'");
    ask(&*check("http", &following), PATIENT).await.expect("it leads there");
    peer.has_seen_closed(3).await;
}

#[tokio::test]
async fn locations_are_relative_to_where_they_come_from() {
    let peer = Peer::http(|request| match request.split(' ').nth(1) {
        Some("/a/b?q=1") => redirect("301 Moved Permanently", "../c/d?r=2#f"),
        Some("/c/d?r=2") => redirect("308 Permanent Redirect", "e"),
        _ => http_answer("200 OK", "", ""),
    })
    .await;
    let url = format!("url = 'http://{}/a/b?q=1'\nfollow_redirects = true", peer.address);
    let (spans, _guard) = Spans::record();
    ask(&*check("http", &url), PATIENT).await.expect("it leads somewhere");
    let paths = ["GET /a/b?q=1 HTTP/1.1", "GET /c/d?r=2 HTTP/1.1", "GET /c/e HTTP/1.1"];
    assert_eq!(request_lines(&peer), paths);
    let spans = spans.ended();
    let resent: Vec<_> = spans.iter().map(|s| attribute(s, "http.request.resend_count")).collect();
    assert_eq!(resent, [None, Some("1".to_owned()), Some("2".to_owned())]);
    let full = attribute(&spans[1], "url.full");
    assert_eq!(full, Some(format!("http://{}/c/d", peer.address)));
    assert!(spans.iter().all(|s| attribute(s, "error.type").is_none()));
}

#[tokio::test]
async fn the_method_and_body_change_as_the_status_says() {
    for (status, method, expected, with_body) in [
        ("301 Moved Permanently", "POST", "GET", false),
        ("302 Found", "POST", "GET", false),
        ("302 Found", "PUT", "PUT", true),
        ("303 See Other", "PUT", "GET", false),
        ("303 See Other", "HEAD", "HEAD", true),
        ("307 Temporary Redirect", "POST", "POST", true),
        ("308 Permanent Redirect", "POST", "POST", true),
    ] {
        let peer = leading(status, "/there").await;
        let options = format!(
            "url = 'http://{}'\nfollow_redirects = true\nmethod = '{method}'\nbody = 'text'\n\
             headers = {{ content-type = 'text/plain', x-key = 'k' }}",
            peer.address
        );
        ask(&*check("http", &options), PATIENT).await.expect(status);
        let second = &peer.requests()[1];
        assert!(second.starts_with(&format!("{expected} /there ")), "{status}: {second}");
        assert_eq!(second.ends_with("text"), with_body, "{status}: {second}");
        assert_eq!(second.contains("content-type"), with_body, "{status}: {second}");
        assert!(second.contains("x-key: k"), "{status}: {second}");
    }
}

#[tokio::test]
async fn a_loop_ends_after_ten_redirects() {
    let peer = Peer::http(|_| redirect("302 Found", "/")).await;
    let options = format!("url = 'http://{}'\nfollow_redirects = true", peer.address);
    let (spans, _guard) = Spans::record();
    assert_eq!(failure("http", &options).await.reason(), Reason::TooManyRedirects);
    assert_eq!(peer.requests().len(), 11);
    assert!(spans.ended().iter().all(|s| attribute(s, "error.type").is_none()));
}

#[tokio::test]
async fn what_is_secret_does_not_follow_to_another_host_and_does_not_come_back() {
    let home = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let back = format!("http://{}/back", home.address);
    let away = Peer::http(move |_| redirect("302 Found", &back)).await;
    let there = format!("http://x:y@{}/away", away.address);
    let start = Peer::http(move |_| redirect("302 Found", &there)).await;
    for (credentials, header) in [
        ("basic_auth = { username = 'u', password = 'p' }", "authorization"),
        ("bearer = 'token'", "authorization"),
        ("headers = { Cookie = 'c', accept-language = 'de' }", "cookie"),
        ("headers = { X-Key = 'k', accept-language = 'de' }", "x-key"),
        ("headers = { Host = 'orders' }", "host: orders"),
    ] {
        let options =
            format!("url = 'http://{}'\nfollow_redirects = true\n{credentials}", start.address);
        ask(&*check("http", &options), PATIENT).await.expect("it leads back");
        let [first, second, third] =
            [&start, &away, &home].map(|peer| peer.requests().pop().expect("a request"));
        assert!(first.contains(header), "{first}");
        assert!(!second.contains(header), "{second}");
        assert!(!third.contains(header), "{third}");
        assert_eq!(third.contains("accept-language"), first.contains("accept-language"));
        assert!(second.contains(&format!("host: {}", away.address)), "{second}");
    }
}

#[tokio::test]
async fn credentials_do_not_come_back_home_by_way_of_another_host() {
    let away = Peer::http(|request| {
        let home = request.split("home=").nth(1).and_then(|r| r.split(' ').next());
        redirect("302 Found", &format!("http://{}/back", home.expect("where home is")))
    })
    .await;
    let there = away.address;
    let home = Peer::http(move |request| {
        let host = request.lines().find_map(|l| l.strip_prefix("host: ")).expect("a host");
        match request.split(' ').nth(1) {
            Some("/back") => http_answer("200 OK", "", ""),
            _ => redirect("302 Found", &format!("http://{there}/?home={host}")),
        }
    })
    .await;
    let options = format!("url = 'http://u:p@{}'\nfollow_redirects = true", home.address);
    ask(&*check("http", &options), PATIENT).await.expect("it leads back");
    let requests = home.requests();
    assert!(requests[0].contains("authorization") && !requests[1].contains("authorization"));
}

#[tokio::test]
async fn a_body_is_not_taken_to_another_host() {
    let away = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let there = format!("http://{}/", away.address);
    let start = Peer::http(move |_| redirect("307 Temporary Redirect", &there)).await;
    let options = format!(
        "url = 'http://{}'\nfollow_redirects = true\nmethod = 'POST'\nbody = 'secret'",
        start.address
    );
    assert_eq!(failure("http", &options).await.reason(), Reason::UnexpectedStatus);
    assert!(away.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_out_of_http_is_a_protocol_failure() {
    for location in ["ftp://db/x", "file:///etc/passwd", "http://", "http://[::1", "javascript:x"] {
        let peer = leading("302 Found", location).await;
        let options = format!("url = 'http://{}'\nfollow_redirects = true", peer.address);
        let failure = failure("http", &options).await;
        assert_eq!(failure.reason(), Reason::Protocol, "{location}");
        assert!(!failure.message().contains(location), "{}", failure.message());
    }
}

#[tokio::test]
async fn a_redirect_without_a_location_is_the_answer() {
    let peer = Peer::http(|_| http_answer("302 Found", "", "")).await;
    let options = format!("url = 'http://{}'\nfollow_redirects = true", peer.address);
    assert_eq!(failure("http", &options).await.reason(), Reason::UnexpectedStatus);
}

#[tokio::test]
async fn an_empty_location_is_none() {
    let peer = Peer::http(|_| redirect("302 Found", "")).await;
    let options = format!("url = 'http://{}'\nfollow_redirects = true", peer.address);
    assert_eq!(failure("http", &options).await.reason(), Reason::UnexpectedStatus);
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_location_may_be_written_in_any_encoding() {
    for (location, path) in [
        (&b"/caf\xc3\xa9"[..], "/caf%C3%A9"),
        (b"/caf\xe9?q=\xe9", "/caf%E9?q=%E9"),
        (b"/a b", "/a%20b"),
        (b"caf\xc3\xa9#caf\xc3\xa9", "/caf%C3%A9"),
    ] {
        let peer = Peer::http(move |request| match request.split(' ').nth(1) {
            Some("/") => {
                let head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ";
                [head, location, b"\r\n\r\n"].concat()
            }
            _ => http_answer("200 OK", "", "here"),
        })
        .await;
        let options = format!("url = 'http://{}'\nfollow_redirects = true", peer.address);
        ask(&*check("http", &options), PATIENT).await.expect(path);
        assert_eq!(request_lines(&peer)[1], format!("GET {path} HTTP/1.1"));
    }
}

/// A page that leads to itself until the cookie is brought that it sets.
async fn wanting_a_cookie() -> Peer {
    Peer::http(|request| {
        if request.contains("cookie: seen=1") {
            return http_answer("200 OK", "", "");
        }
        let cookies =
            "Set-Cookie: seen=0\r\nSet-Cookie: seen=1; HttpOnly\r\nSet-Cookie: b=\u{1}\r\n";
        http_answer("302 Found", &format!("Location: /\r\n{cookies}"), "")
    })
    .await
}

#[tokio::test]
async fn a_cookie_is_brought_along_the_redirects_of_one_run() {
    let peer = wanting_a_cookie().await;
    let options = format!("url = 'http://{}'\nfollow_redirects = true", peer.address);
    let check = check("http", &options);
    for asked in 1..=2 {
        ask(&*check, PATIENT).await.expect("it brings the cookie");
        let requests = peer.requests();
        assert_eq!(requests.len(), 2 * asked);
        let [first, second] = &requests[2 * (asked - 1)..] else { panic!("two requests") };
        assert!(!first.contains("cookie"), "no run sees the cookies of another: {first}");
        assert!(second.contains("\r\ncookie: seen=1\r\n"), "{second}");
    }
}

#[tokio::test]
async fn no_cookie_goes_to_a_stranger() {
    let away = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let there = format!("http://localhost:{}/", away.address.port());
    let start = Peer::http(move |_| {
        let headers = format!(
            "Location: {there}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Domain=localhost\r\n"
        );
        http_answer("302 Found", &headers, "")
    })
    .await;
    let options = format!(
        "url = 'http://{}'\nfollow_redirects = true\ncookies = {{ c = '3' }}",
        start.address
    );
    ask(&*check("http", &options), PATIENT).await.expect("it leads there");
    assert!(start.requests()[0].contains("cookie: c=3\r\n"));
    assert!(!away.requests()[0].contains("cookie"), "{}", away.requests()[0]);
}

#[tokio::test]
async fn configured_cookies_begin_every_run_and_answers_may_change_them() {
    let peer = Peer::http(|request| match request.split(' ').nth(1) {
        Some("/") => {
            let cookies = "Set-Cookie: session=new; Path=/\r\nSet-Cookie: old=; Max-Age=0\r\n";
            http_answer("302 Found", &format!("Location: /x\r\n{cookies}"), "")
        }
        _ => http_answer("200 OK", "", ""),
    })
    .await;
    let options = format!(
        "url = 'http://{}'\nfollow_redirects = true\ncookies = {{ session = 'abc', theme = 'dark' }}",
        peer.address
    );
    let check = check("http", &options);
    for asked in 1..=2 {
        ask(&*check, PATIENT).await.expect("it is healthy");
        let requests = peer.requests();
        let [first, second] = &requests[2 * (asked - 1)..] else { panic!("two requests") };
        assert!(first.contains("\r\ncookie: session=abc; theme=dark\r\n"), "{first}");
        assert!(second.contains("\r\ncookie: theme=dark; session=new\r\n"), "{second}");
    }
}

#[tokio::test]
async fn with_reuse_no_connection_to_another_host_is_kept() {
    let away = Peer::http(|_| http_answer("200 OK", "", "")).await;
    let there = format!("http://{}/", away.address);
    let start = Peer::http(move |_| redirect("302 Found", &there)).await;
    let options =
        format!("url = 'http://{}'\nfollow_redirects = true\nreuse = true", start.address);
    let check = check("http", &options);
    for asked in 1..=2 {
        ask(&*check, PATIENT).await.expect("it leads there");
        away.has_seen_closed(asked).await;
        assert_eq!((start.requests().len(), away.requests().len()), (asked, asked));
    }
}

#[tokio::test]
async fn with_reuse_no_second_connection_is_open_while_a_redirect_is_followed() {
    let peer = leading("302 Found", "/there").await;
    let options = format!("url = 'http://{}'\nfollow_redirects = true\nreuse = true", peer.address);
    let check = check("http", &options);
    for _ in 0..2 {
        ask(&*check, PATIENT).await.expect("it leads there");
    }
    // Each run leaves the connection of its first request and keeps that of its last.
    peer.has_seen_closed(peer.accepted() - 1).await;
    assert_eq!(peer.accepted(), 3);
}
