//! What comes over a WebSocket once it is open.

use tokio::io::AsyncWriteExt;

use super::*;
use crate::support::checks::SHORT;

/// A frame of a server with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    assert!(length < 126, "a longer one has its length elsewhere");
    [&[first, length], payload].concat()
}

async fn opened(frames: &[&[u8]]) -> Peer {
    Peer::start(opening(frames.concat())).await
}

#[tokio::test]
async fn a_ping_is_answered_by_its_own_pong_whatever_comes_before() {
    let text = frame(0x81, b"welcome");
    let ping = frame(0x89, b"are you there");
    let other = frame(0x8a, b"unasked");
    let peer = opened(&[&text, &ping, &other, PONG, &text, CLOSE]).await;
    assert_eq!(asked(&peer, "").await, Ok(Detail::ok()));
    for frames in [&[&text[..], &other, CLOSE][..], &[&text]] {
        let peer = opened(frames).await;
        let options = format!("url = 'ws://{}'", peer.address);
        let failure = ask(&*check("websocket", &options), SHORT).await.expect_err("no pong");
        let closed = frames.len() == 3;
        assert_eq!(failure.reason() == Reason::Timeout, !closed, "{}", failure.message());
        assert_eq!(failure.reason() == Reason::NotServing, closed, "{}", failure.message());
    }
}

#[tokio::test]
async fn the_first_message_is_what_is_expected_however_it_is_cut() {
    let expected = "expect.regex = '^ready: \\d+$'";
    let whole = frame(0x81, b"ready: 12");
    let binary = frame(0x82, b"ready: 12");
    let cut = [frame(0x01, b"rea"), frame(0x89, b""), frame(0x80, b"dy: 12")].concat();
    for first in [&whole, &binary, &cut] {
        assert_eq!(asked(&opened(&[first, CLOSE]).await, expected).await, Ok(Detail::ok()));
    }
    let (spans, _guard) = Spans::record();
    let peer = opened(&[&frame(0x81, b"not ready"), &whole, CLOSE]).await;
    let (reason, text) = failed(&peer, expected).await;
    assert_eq!(reason, Reason::UnexpectedBody);
    assert!(text.contains("first message") && !text.contains("not ready"), "{text}");
    assert_eq!(spans.only().status, Status::Unset);
}

#[tokio::test]
async fn a_server_that_closes_instead_says_why() {
    for (code, reason) in [
        (1001_u16, Reason::NotServing),
        (1008, Reason::NotServing),
        (1011, Reason::NotServing),
        (1013, Reason::Overloaded),
        (1002, Reason::Protocol),
        (3000, Reason::AuthFailed),
        (3003, Reason::AuthFailed),
    ] {
        let payload = [&code.to_be_bytes()[..], SECRET.as_bytes()].concat();
        for expected in ["", "expect.regex = 'x'"] {
            let peer = opened(&[&frame(0x88, &payload)]).await;
            let (found, text) = failed(&peer, expected).await;
            assert_eq!(found, reason, "{text}");
            assert!(text.ends_with(&format!("closed the WebSocket with code {code}")), "{text}");
        }
    }
}

#[tokio::test]
async fn frames_that_break_the_protocol_are_told() {
    let masked = [&[0x81, 0x81, 0, 0, 0, 0][..], b"a"].concat();
    for broken in [
        &masked[..],
        &frame(0xc1, b"compressed"),
        &frame(0x83, b"reserved"),
        &frame(0x80, b"nothing to go on with"),
        &frame(0x09, b"a ping in parts"),
        &frame(0x81, b"\xff\xfe"),
    ] {
        let (reason, text) = failed(&opened(&[broken]).await, "").await;
        assert_eq!(reason, Reason::Protocol, "{text}");
        assert!(text.contains("does not speak WebSocket"), "{text}");
    }
}

#[tokio::test]
async fn what_is_read_is_bounded_however_it_is_framed() {
    // A frame that says that 2 MiB will come.
    let announced = b"\x82\x7f\0\0\0\0\0\x20\0\0";
    let cases: [(&[u8], &[u8]); 5] = [
        (announced, b""),
        (announced, b"a"),
        (b"", b"\x89\x00"),
        (b"", b"\x82\x05abcde"),
        // Parts of a message that are empty make it no longer.
        (b"\x02\x00", b"\x00\x00"),
    ];
    for (start, more) in cases {
        let peer = Peer::start(going_on(start, more)).await;
        let (reason, text) = failed(&peer, "").await;
        assert_eq!(reason, Reason::TooLarge, "{text}");
        assert!(text.ends_with("sent more than 1 MiB"), "{text}");
        peer.has_seen_closed(1).await;
    }
}

/// Opens, and does the rest of `frames` only to end the connection.
fn leaving(frames: &'static [u8]) -> Script {
    let opening = opening(frames);
    Arc::new(move |wire| {
        let served = opening(wire);
        Box::pin(async {
            served.await?.shutdown().await.ok()?;
            None
        })
    })
}

#[tokio::test]
async fn a_server_may_leave_without_a_farewell_but_not_without_an_answer() {
    // One that only says no more, and hears the farewell.
    let opening = opening(PONG);
    let falling_silent: Script = Arc::new(move |wire| {
        let served = opening(wire);
        Box::pin(async {
            let mut wire = served.await?;
            wire.shutdown().await.ok()?;
            Some(wire)
        })
    });
    for script in [leaving(PONG), falling_silent] {
        let peer = Peer::start(script).await;
        assert_eq!(asked(&peer, "").await, Ok(Detail::ok()));
    }
    let peer = Peer::start(leaving(b"\x81\x05hello")).await;
    assert_eq!(failed(&peer, "").await.0, Reason::ConnectionReset);
}

#[tokio::test]
async fn a_server_that_talks_on_after_the_farewell_is_left() {
    let peer = Peer::start(going_on(PONG, b"\x82\x05abcde")).await;
    assert_eq!(failed(&peer, "").await.0, Reason::TooLarge);
    peer.has_seen_closed(1).await;
}
