//! What servers of many ages reply, by scripts.

use super::*;

const OFFER: &str = "250-mail.test\r\n250 STARTTLS\r\n";

/// What a server that says `replies` one after the other hears, and whether it is up.
async fn heard(replies: &[&str], more: &str) -> (Result<Detail, Failure>, String) {
    let heard = Arc::default();
    let peer = Peer::start(talking(replies, Arc::clone(&heard))).await;
    let verdict = asked(&format!("address = '{}'\nehlo = 'me.test'\n{more}", peer.address)).await;
    peer.has_seen_closed(1).await;
    let heard = heard.lock().unwrap().clone();
    (verdict, heard)
}

#[tokio::test]
async fn a_server_that_refuses_ehlo_is_greeted_by_helo() {
    for refusal in [
        "500 unknown\r\n",
        "501 syntax\r\n",
        "502 not implemented\r\n",
        "504 no\r\n",
        "550 no\r\n",
        "554-no\r\n554 no\r\n",
    ] {
        let replies = [HELLO, refusal, "250 mail.test\r\n", FAREWELL];
        let (verdict, heard) = heard(&replies, "").await;
        assert_eq!(verdict, Ok(Detail::ok()), "{refusal}");
        assert_eq!(heard, "EHLO me.test\r\nHELO me.test\r\nQUIT\r\n");
    }
}

#[tokio::test]
async fn a_server_that_refuses_helo_too_fails_by_its_first_answer() {
    for (older, reason, reported) in [
        ("550 nor that\r\n", Reason::UnexpectedStatus, "EHLO: 502 not that"),
        ("421 too many connections\r\n", Reason::Overloaded, "EHLO: 421 too many connections"),
        ("", Reason::UnexpectedStatus, "EHLO: 502 not that"),
    ] {
        // The last one hangs up.
        let script = peer::then_closing(saying(&[HELLO, "502 not that\r\n", older]));
        let peer = Peer::start(script).await;
        let (found, text) = failed(&format!("address = '{}'", peer.address)).await;
        assert_eq!(found, reason, "{text}");
        assert!(text.ends_with(reported), "{text}");
    }
    // One that asks to try later means this client, whatever it says.
    let (verdict, heard) = heard(&[HELLO, "450 try later\r\n"], "").await;
    assert_eq!(verdict.expect_err("refused").reason(), Reason::NotServing);
    assert_eq!(heard, "EHLO me.test\r\n");
}

#[tokio::test]
async fn what_helo_answers_offers_nothing() {
    let replies = [HELLO, "500 unknown\r\n", "250-mail.test\r\n250 STARTTLS\r\n"];
    let (verdict, _) = heard(&replies, "mode = 'starttls'").await;
    let failure = verdict.expect_err("no STARTTLS");
    assert_eq!(failure.reason(), Reason::TlsFailed);
    assert!(failure.message().ends_with("does not offer STARTTLS"), "{}", failure.message());
}

#[tokio::test]
async fn the_answer_to_quit_decides_nothing() {
    for farewell in ["221 bye\r\n", "421 bye\r\n", "502 no\r\n", "no SMTP\r\n", "\0", ""] {
        let (verdict, heard) = heard(&[HELLO, OFFER, farewell], "").await;
        assert_eq!(verdict, Ok(Detail::ok()), "{farewell}");
        assert_eq!(heard, "EHLO me.test\r\nQUIT\r\n");
    }
    // One without end.
    let script: Script = Arc::new(|mut wire| {
        Box::pin(async move {
            wire.write_all(HELLO.as_bytes()).await.ok()?;
            wire.read_u8().await.ok()?;
            wire.write_all(OFFER.as_bytes()).await.ok()?;
            while wire.write_all(b"221-bye\r\n").await.is_ok() {}
            None
        })
    });
    let peer = Peer::start(script).await;
    assert_eq!(asked(&format!("address = '{}'", peer.address)).await, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_greeting_of_several_lines_is_one() {
    let greeting = "220-mail.test ESMTP\r\n220-no spam\r\n220\r\n";
    let (verdict, _) = heard(&[greeting, OFFER, FAREWELL], "").await;
    assert_eq!(verdict, Ok(Detail::ok()));
}

#[tokio::test]
async fn a_server_may_say_421_at_any_time() {
    let [busy, leaving] = ["421 4.3.2 All server ports are busy\r\n", "421 4.3.0 going down\r\n"];
    for before in [&[][..], &[HELLO], &[HELLO, OFFER]] {
        for (last, reason) in [(busy, Reason::Overloaded), (leaving, Reason::NotServing)] {
            let replies = [before, &[last]].concat();
            let (verdict, _) = heard(&replies, "mode = 'starttls'").await;
            let failure = verdict.expect_err(last);
            assert_eq!(failure.reason(), reason, "{}", failure.message());
        }
    }
}

#[tokio::test]
async fn a_421_after_tls_is_no_refusal_of_the_credentials() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let config = authority.issue("127.0.0.1").server(None);
    let offer = "250-mail.test\r\n250 AUTH PLAIN\r\n";
    let peer = Peer::start_tls(config, saying(&[HELLO, offer, "421 going down\r\n"])).await;
    let (reason, text) = failed(&with_login(peer.address, &ca)).await;
    assert_eq!(reason, Reason::NotServing, "{text}");
}

#[tokio::test]
async fn every_line_with_mechanisms_counts() {
    let authority = Authority::new();
    let ca = file(&authority.pem);
    let config = authority.issue("127.0.0.1").server(None);
    for lines in [
        "250-AUTH=LOGIN\r\n250-AUTH LOGIN CRAM-MD5 PLAIN\r\n250 SIZE 1000\r\n",
        "250-AUTH LOGIN\r\n250 AUTH PLAIN\r\n",
        "250 AUTH=LOGIN PLAIN\r\n",
    ] {
        let offer = format!("250-mail.test\r\n{lines}");
        let peer =
            Peer::start_tls(Arc::clone(&config), saying(&[HELLO, &offer, "235 in\r\n", FAREWELL]))
                .await;
        assert_eq!(asked(&with_login(peer.address, &ca)).await, Ok(Detail::ok()), "{lines}");
    }
}
