//! The `http` kind: how it judges an answer, and what it withstands.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry::trace::Status;
use vitalsign::{Failure, Reason};

use crate::support::checks::{PATIENT, ask, check};
use crate::support::peer::{self, Peer, Script, http_answer};
use crate::support::spans::{Spans, attribute};

/// Asks a peer with this script and further `options`.
pub(super) async fn ask_peer(script: Script, options: &str) -> Result<(), Failure> {
    let peer = Peer::start(script).await;
    let options = format!("url = 'http://{}'\n{options}", peer.address);
    let result = ask(&*check("http", &options), PATIENT).await;
    peer.has_seen_closed(1).await;
    assert_eq!(peer.accepted(), 1);
    result.map(drop)
}

/// Why such a run fails.
async fn reason(script: Script, options: &str) -> Reason {
    ask_peer(script, options).await.expect_err("it fails").reason()
}

/// Asks for an answer with this status and returns the reason and what the span says of it.
async fn status(status: &str, options: &str) -> (Option<Reason>, Option<String>) {
    let (spans, _guard) = Spans::record();
    let answer = peer::answering(http_answer(status, "", "body"));
    let reason = ask_peer(answer, options).await.err().map(|f| f.reason());
    let span = spans.only();
    let error = attribute(&span, "error.type");
    assert_eq!(span.status == Status::Unset, error.is_none());
    (reason, error)
}

#[tokio::test]
async fn an_error_status_fails_the_call_and_any_other_only_the_check() {
    use Reason::{AuthFailed, UnexpectedStatus};
    for (code, expected, failed) in [
        ("500 Internal Server Error", UnexpectedStatus, true),
        ("503 Service Unavailable", UnexpectedStatus, true),
        ("404 Not Found", UnexpectedStatus, true),
        ("403 Forbidden", UnexpectedStatus, true),
        ("429 Too Many Requests", UnexpectedStatus, true),
        ("401 Unauthorized", AuthFailed, true),
        ("407 Proxy Authentication Required", AuthFailed, true),
        ("301 Moved Permanently", UnexpectedStatus, false),
        ("304 Not Modified", UnexpectedStatus, false),
    ] {
        let error = failed.then(|| expected.to_string());
        assert_eq!(status(code, "").await, (Some(expected), error), "{code}");
    }
}

#[tokio::test]
async fn an_error_status_that_is_expected_is_good() {
    for expected in ["'404'", "404", "'4xx'", "'400-404', 200"] {
        let options = format!("expect.status = [{expected}]");
        assert_eq!(status("404 Not Found", &options).await, (None, None), "{expected}");
    }
    let (reason, error) = status("200 OK", "expect.status = ['404']").await;
    assert_eq!((reason, error), (Some(Reason::UnexpectedStatus), None));
}

#[tokio::test]
async fn a_message_tells_what_came_and_what_was_expected() {
    let answer = peer::answering(http_answer("503 Service Unavailable", "", ""));
    let peer = Peer::start(answer).await;
    let options = format!("url = 'http://{}'\nexpect.status = ['2xx', 301]", peer.address);
    let failure = ask(&*check("http", &options), PATIENT).await.expect_err("it fails");
    let told = format!("{} answered 503 Service Unavailable; expected 2xx, 301", peer.address);
    assert_eq!(failure.message(), told);
}

#[tokio::test]
async fn headers_and_body_must_be_as_expected() {
    let body = r#"{"status": "up", "parts": [{"n": 1}, {"n": 1.0}], "odd": [1, 2]}"#;
    let answer = || {
        let headers = "X-Version: 1.4.2\r\nX-Two: a\r\nX-Two: b\r\n";
        peer::answering(http_answer("200 OK", headers, body))
    };
    for met in [
        "expect.body_regex = 'status.+up'",
        "expect.headers = { x-version = '^1\\.', X-Two = '^b$' }",
        "expect.json = { '$.status' = 'up', '$.parts[*].n' = 1, '$.odd' = [1, 2] }",
        "expect.json = { '$.parts[0]' = { n = 1 } }",
    ] {
        ask_peer(answer(), met).await.expect(met);
    }
    for unmet in [
        "expect.body_regex = '^up'",
        "expect.headers = { x-version = '^2' }",
        "expect.headers = { x-other = '' }",
        "expect.json = { '$.status' = 'down' }",
        "expect.json = { '$.odd[*]' = 1 }",
        "expect.json = { '$.absent' = 1 }",
    ] {
        let (spans, _guard) = Spans::record();
        assert_eq!(reason(answer(), unmet).await, Reason::UnexpectedBody, "{unmet}");
        assert_eq!(spans.only().status, Status::Unset, "{unmet}");
    }
    let text = peer::answering(http_answer("200 OK", "", "up"));
    assert_eq!(reason(text, "expect.json = { '$' = 'up' }").await, Reason::UnexpectedBody);
}

#[tokio::test]
async fn an_answer_without_a_body_is_an_answer() {
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 500\r\n\r\n";
    ask_peer(peer::answering(head), "method = 'HEAD'").await.expect("its head is all");
    let empty = http_answer("200 OK", "Content-Encoding: gzip\r\n", "");
    ask_peer(peer::answering(empty), "expect.body_regex = '^$'").await.expect("it is empty");
    let old = "HTTP/1.0 200 OK\r\n\r\nup";
    ask_peer(peer::answering_once(old), "expect.body_regex = '^up$'").await.expect("HTTP/1.0");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(body: &[u8]) -> Script {
    peer::answering(http_answer("200 OK", "Content-Encoding: gzip\r\n", body))
}

#[tokio::test]
async fn gzip_is_decoded_though_nobody_asked_for_it() {
    let members = [gzip(b"all is "), gzip(b"well")].concat();
    ask_peer(gzipped(&members), "expect.body_regex = '^all is well$'").await.expect("it is");
}

#[tokio::test]
async fn a_gzip_bomb_goes_off_at_the_bound() {
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 128 << 10, "it fits the bound until it is decoded");
    for options in ["", "expect.body_regex = 'x'", "max_body = '63MiB'"] {
        assert_eq!(reason(gzipped(&bomb), options).await, Reason::TooLarge, "{options}");
    }
    ask_peer(gzipped(&bomb), "max_body = '64MiB'").await.expect("it fits");
}

#[tokio::test]
async fn what_is_not_gzip_or_breaks_off_is_no_answer() {
    let whole = gzip(&[7; 5000]);
    let cut = &whole[..whole.len() - 4];
    for body in [&b"plain text"[..], cut] {
        let wanted = reason(gzipped(body), "expect.body_regex = '.'").await;
        assert_eq!(wanted, Reason::Protocol, "{} bytes", body.len());
        ask_peer(gzipped(body), "expect.headers = { content-encoding = 'gzip' }")
            .await
            .expect("nobody asks for its bytes");
    }
    let ends = peer::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nplain");
    assert_eq!(reason(ends, "").await, Reason::ConnectionReset, "it does not arrive");
}

#[tokio::test]
async fn what_pads_gzip_is_passed_over() {
    let whole = gzip(b"well");
    for padding in [&[0; 8][..], &[0xff; 20], b"\r\n"] {
        let padded = [&whole[..], padding].concat();
        ask_peer(gzipped(&padded), "").await.expect("only its status is asked for");
        ask_peer(gzipped(&padded), "expect.body_regex = '^well$'").await.expect("it is");
    }
}

#[tokio::test]
async fn an_unknown_encoding_matters_only_to_who_reads_it() {
    let answer = || peer::answering(http_answer("200 OK", "Content-Encoding: br\r\n", "?"));
    ask_peer(answer(), "").await.expect("nothing is read");
    assert_eq!(reason(answer(), "expect.body_regex = '.'").await, Reason::UnexpectedBody);
}

#[tokio::test]
async fn an_encoding_that_is_none_is_passed_over() {
    for name in ["utf-8", "UTF-8", "none", "8bit", "identity, utf-8"] {
        let headers = format!("Content-Encoding: {name}\r\n");
        let answer = peer::answering(http_answer("200 OK", &headers, "{\"status\": \"UP\"}"));
        let options = "expect.json = { '$.status' = 'UP' }\nexpect.body_regex = 'UP'";
        ask_peer(answer, options).await.expect(name);
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_a_body() {
    let answer = peer::answering(http_answer("200 OK", "", "\u{feff}up"));
    ask_peer(answer, "expect.body_regex = '^up$'").await.expect("text");
}

#[tokio::test]
async fn what_is_ruled_out_must_not_be_there() {
    let answer = || {
        let headers = "X-Cache: HIT\r\nX-Cache: stale\r\n";
        peer::answering(http_answer("200 OK", headers, "all is well, with 1 warning"))
    };
    for met in [
        "expect.not_body_regex = 'error'",
        "expect.not_headers = { x-cache = 'MISS', x-absent = '' }",
        "expect.body_regex = 'well'\nexpect.not_body_regex = '[2-9] warning'",
    ] {
        ask_peer(answer(), met).await.expect(met);
    }
    for (unmet, told) in [
        ("expect.not_body_regex = '1 warning'", "matches expect.not_body_regex"),
        ("expect.not_headers = { X-Cache = 'stale' }", "x-cache"),
    ] {
        let failure = ask_peer(answer(), unmet).await.expect_err(unmet);
        assert_eq!(failure.reason(), Reason::UnexpectedBody);
        assert!(failure.message().contains(told), "{}", failure.message());
    }
}

#[tokio::test]
async fn odd_heads_are_read_as_curl_reads_them() {
    for (head, expected) in [
        ("X-Info: one,\r\n two\r\n", "x-info = '^one, two$'"),
        ("Content-Type: text/html;\r\n\tcharset=utf-8\r\n", "content-type = '^text/html; charset'"),
        ("X-Space : one\r\n", "x-space = '^one$'"),
        ("Set-Cookie: a=b\u{1}c; path=/\r\n", "set-cookie = '^a=b.c; path'"),
        ("X-Name: caf\u{e9}\r\n", "x-name = '^café$'"),
        ("X Y: z\r\nX-Last: one\n", "x-last = '^one$'"),
        ("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", "set-cookie = '^b=2$'"),
    ] {
        let answer = peer::answering(http_answer("200 OK", head, "ok"));
        let options = format!("expect.headers = {{ {expected} }}\nexpect.body_regex = '^ok$'");
        ask_peer(answer, &options).await.expect(head);
    }
    for start in ["HTTP/1.1 200", "HTTP/1.1  200 OK", "http/1.1 200 OK", "HTTP/1.0 200 caf\u{e9}"] {
        let answer = peer::answering(format!("{start}\r\nContent-Length: 2\r\n\r\nok"));
        ask_peer(answer, "expect.body_regex = '^ok$'").await.expect(start);
    }
    for nul in ["HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n"] {
        assert_eq!(reason(peer::answering(nul), "").await, Reason::Protocol, "{nul:?}");
    }
}

#[tokio::test]
async fn trailers_decide_nothing() {
    let head =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2;x=y\r\nok\r\n";
    for end in ["0\r\nX-Sum: 1\r\n\r\n", "0\r\nX : a\r\n b\r\nno colon\u{1}\r\n\r\n", "0\n\n"] {
        let answer = peer::answering(format!("{head}{end}"));
        ask_peer(answer, "expect.body_regex = '^ok$'").await.expect(end);
    }
    let endless: Script = peer::endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-Sum: 1\r\n",
    );
    assert_eq!(reason(endless, "").await, Reason::TooLarge);
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_bound_and_no_longer() {
    let options = "max_body = 10";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (answer, fits) in [
        (http_answer("200 OK", "", "0123456789"), true),
        (http_answer("200 OK", "", "0123456789a"), false),
        (format!("{chunked}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n").into_bytes(), true),
        (format!("{chunked}5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n").into_bytes(), false),
    ] {
        let result = ask_peer(peer::answering(answer), options).await;
        let reason = result.err().map(|f| f.reason());
        assert_eq!(reason, (!fits).then_some(Reason::TooLarge));
    }
    // The length alone tells: the rest never comes.
    let promise = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n";
    assert_eq!(reason(peer::answering(promise), options).await, Reason::TooLarge);
}

#[tokio::test]
async fn a_head_without_end_or_with_too_many_headers_is_too_large() {
    let head = b"HTTP/1.1 200 OK\r\n";
    assert_eq!(reason(peer::endless(head, b"x: y\r\n"), "").await, Reason::TooLarge);
    assert_eq!(
        reason(peer::endless(b"HTTP/1.1 200 OK\r\nx: ", b"yyyy"), "").await,
        Reason::TooLarge
    );
    let header = |length: usize| format!("X: {}\r\n", "y".repeat(length));
    let answer = http_answer("200 OK", &header(64 << 10), "");
    assert_eq!(reason(peer::answering(answer), "").await, Reason::TooLarge);
    let answer = http_answer("200 OK", &header(63 << 10), "");
    ask_peer(peer::answering(answer), "").await.expect("it fits");
    let answer = http_answer("200 OK", &"X: y\r\n".repeat(100), "");
    assert_eq!(reason(peer::answering(answer), "").await, Reason::TooLarge);
}

#[tokio::test]
async fn what_is_not_http_1_is_a_protocol_failure() {
    for (answer, what) in [
        ("hello\r\n", "HTTP/0.9"),
        ("HTTP/2.0 200 OK\r\n\r\n", "another version"),
        ("HTTP/1.1 20 OK\r\n\r\n", "a short status"),
        ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", "a line without a colon"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "two lengths"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a negative length"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "a chunk without size"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            "a chunk of more than all bytes",
        ),
    ] {
        assert_eq!(reason(peer::answering(answer), "").await, Reason::Protocol, "{what}");
    }
    let banner: Script = std::sync::Arc::new(|mut wire| {
        Box::pin(async move {
            use tokio::io::AsyncWriteExt;
            wire.write_all(b"220 mail.example ESMTP\r\n").await.ok()?;
            Some(wire)
        })
    });
    assert_eq!(reason(banner, "").await, Reason::Protocol, "a mail server");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_reset_connection() {
    for answer in [
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nX: y\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let reason = reason(peer::answering_once(answer), "").await;
        assert_eq!(reason, Reason::ConnectionReset, "{answer:?}");
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let answer = [early.as_bytes(), &http_answer("200 OK", "", "up")].concat();
    ask_peer(peer::answering(answer), "expect.body_regex = 'up'").await.expect("the last counts");
}
