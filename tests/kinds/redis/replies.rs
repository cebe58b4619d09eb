//! What servers and proxies of many ages answer, by scripts.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::checks::SHORT;
use crate::support::peer::{Peer, Script};

use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers each command by `answer`, and hangs up where that gives nothing.
pub(super) fn answering_commands(
    answer: impl Fn(&[&str]) -> Option<String> + Send + Sync + 'static,
) -> Script {
    let answer = Arc::new(answer);
    Arc::new(move |mut wire| {
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            let mut read = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&read).into_owned();
                let Some((words, length)) = command(&text) else {
                    if wire.read_buf(&mut read).await.ok()? == 0 {
                        return None;
                    }
                    continue;
                };
                wire.write_all(answer(&words)?.as_bytes()).await.ok()?;
                read.drain(..length);
            }
        })
    })
}

/// The words of the first command in `text` and its length, once it is complete.
fn command(text: &str) -> Option<(Vec<&str>, usize)> {
    let (count, mut rest) = text.strip_prefix('*')?.split_once("\r\n")?;
    let mut words = Vec::new();
    for _ in 0..count.parse::<usize>().expect("a number of words") {
        let (length, after) = rest.strip_prefix('$')?.split_once("\r\n")?;
        let length: usize = length.parse().expect("a length");
        words.push(after.get(..length)?);
        rest = after.get(length + 2..)?;
    }
    Some((words, text.len() - rest.len()))
}

/// What a healthy master answers.
fn usual(words: &[&str]) -> String {
    match words[0] {
        "PING" => "+PONG\r\n".to_owned(),
        "INFO" => "$13\r\nrole:master\r\n\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    }
}

/// A server whose answer to `INFO` is this; it hangs up at that where it is nothing.
async fn with_info(info: Option<&'static str>) -> Peer {
    Peer::start(answering_commands(move |words| match words[0] {
        "INFO" => info.map(str::to_owned),
        _ => Some(usual(words)),
    }))
    .await
}

#[tokio::test]
async fn no_answer_to_info_fails_a_run_unless_an_option_needs_it() {
    for (info, reason) in [
        (None, Reason::ConnectionReset),
        (Some("$-1\r\n"), Reason::UnexpectedBody),
        (Some("*-1\r\n"), Reason::UnexpectedBody),
        (Some("_\r\n"), Reason::UnexpectedBody),
        (Some("*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"), Reason::UnexpectedBody),
        (Some(":7\r\n"), Reason::UnexpectedBody),
        (Some("+OK\r\n"), Reason::UnexpectedBody),
        (Some("$0\r\n\r\n"), Reason::UnexpectedBody),
        (Some("-ERR unknown command 'INFO'\r\n"), Reason::QueryFailed),
        (Some("-NOPERM this user has no permissions\r\n"), Reason::AuthFailed),
        (Some("$99999999\r\n"), Reason::TooLarge),
        (Some("HTTP/1.1 400 Bad Request\r\n\r\n"), Reason::Protocol),
    ] {
        let peer = with_info(info).await;
        let url = format!("redis://{}", peer.address);
        let (spans, _guard) = Spans::record();
        assert_eq!(asked(&url, "").await, Ok(Detail::ok()), "{info:?}");
        let span = spans.only();
        assert_eq!(span.status, Status::Unset);
        assert_eq!(attribute(&span, "db.response.status_code"), None, "{info:?}");
        let (found, text) = failed(&url, "expect.role = 'master'").await;
        assert_eq!(found, reason, "{text}");
        let needs = text.ends_with("; expect.role needs INFO");
        assert!(needs || text.ends_with("does not tell its role"), "{text}");
        if info != Some("$0\r\n\r\n") {
            let (_, text) = failed(&url, "max_memory_ratio = 0.5").await;
            assert!(text.ends_with("; max_memory_ratio needs INFO"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_never_answers_info_is_up_within_the_deadline() {
    let peer = with_info(Some("")).await;
    let check = check("redis", &format!("url = 'redis://{}'", peer.address));
    assert_eq!(ask(&*check, 10 * SHORT).await, Ok(Detail::ok()));
    peer.has_seen_closed(1).await;
}

#[tokio::test]
async fn an_option_needs_its_own_section_of_info_alone() {
    let peer = Peer::start(answering_commands(|words| match words {
        ["INFO", "memory"] => Some(String::new()),
        _ => Some(usual(words)),
    }))
    .await;
    let url = format!("url = 'redis://{}'", peer.address);
    let check = check("redis", &format!("{url}\nexpect.role = 'master'"));
    assert_eq!(ask(&*check, 10 * SHORT).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_server_that_refuses_info_is_not_asked_each_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let peer = Peer::start(answering_commands(move |words| match words[0] {
        "INFO" => {
            count.fetch_add(1, Ordering::Relaxed);
            Some("-NOPERM this user has no permissions\r\n".to_owned())
        }
        _ => Some(usual(words)),
    }))
    .await;
    let check = check("redis", &format!("url = 'redis://{}'", peer.address));
    for _ in 0..10 {
        assert_eq!(ask(&*check, PATIENT).await, Ok(Detail::ok()));
    }
    // Two sections a run.
    assert_eq!(asked.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_server_without_users_is_sent_the_password_alone() {
    for refusal in [
        "-ERR wrong number of arguments for 'auth' command\r\n",
        "-ERR wrong number of arguments for AUTH\r\n",
    ] {
        let let_in = Arc::new(AtomicUsize::new(0));
        let state = Arc::clone(&let_in);
        let peer = Peer::start(answering_commands(move |words| match words {
            ["AUTH", _, _] => {
                state.store(0, Ordering::Relaxed);
                Some(refusal.to_owned())
            }
            ["AUTH", password] if *password == SECRET => {
                state.store(1, Ordering::Relaxed);
                Some("+OK\r\n".to_owned())
            }
            ["AUTH", _] => Some("-ERR invalid password\r\n".to_owned()),
            _ if state.load(Ordering::Relaxed) == 0 => {
                Some("-NOAUTH Authentication required.\r\n".to_owned())
            }
            _ => Some(usual(words)),
        }))
        .await;
        for database in ["", "/3"] {
            let url = format!("redis://h:{SECRET}@{}{database}", peer.address);
            assert_eq!(asked(&url, "expect.role = 'master'").await, Ok(Detail::ok()), "{url}");
        }
        let (reason, text) = failed(&format!("redis://h:not-it@{}/3", peer.address), "").await;
        assert_eq!(reason, Reason::AuthFailed);
        assert!(text.ends_with("answered to AUTH: ERR invalid password"), "{text}");
    }
}

#[tokio::test]
async fn a_server_with_users_is_not_sent_the_password_alone() {
    let peer = Peer::start(answering_commands(|words| {
        assert!(words[0] != "AUTH" || words.len() == 3, "{words:?}");
        match words[0] {
            "AUTH" => Some("-WRONGPASS invalid username-password pair\r\n".to_owned()),
            _ => Some("-NOAUTH Authentication required.\r\n".to_owned()),
        }
    }))
    .await;
    let (reason, text) = failed(&format!("redis://h:{SECRET}@{}", peer.address), "").await;
    assert_eq!(reason, Reason::AuthFailed);
    assert!(text.contains("answered to AUTH: WRONGPASS"), "{text}");
}

#[tokio::test]
async fn what_a_server_pushes_and_how_resp3_writes_texts_is_understood() {
    let peer = Peer::start(answering_commands(|words| {
        let push = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n";
        Some(match words[0] {
            "INFO" => format!("{push}|1\r\n+ttl\r\n:1\r\n=17\r\ntxt:role:master\r\n\r\n"),
            _ => format!("{push}{}", usual(words)),
        })
    }))
    .await;
    let url = format!("redis://:{SECRET}@{}/1", peer.address);
    assert_eq!(asked(&url, "expect.role = 'master'").await, Ok(Detail::ok()));
}

#[tokio::test]
async fn the_server_that_a_sentinel_names_must_be_a_master() {
    let peer = Peer::start(answering_commands(|words| match words[0] {
        "INFO" => Some("$12\r\nrole:slave\r\n\r\n".to_owned()),
        _ => Some(usual(words)),
    }))
    .await;
    let port = peer.address.port().to_string();
    let sentinel = Peer::start(answering_commands(move |_| {
        Some(format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len()))
    }))
    .await;
    let (reason, text) = failed(&format!("redis-sentinel://{}/orders", sentinel.address), "").await;
    assert_eq!(reason, Reason::NotServing, "{text}");
    assert!(text.ends_with("is a replica, and a sentinel names it as the master"), "{text}");
}
