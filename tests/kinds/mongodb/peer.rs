//! Peers by a script, whose documents MongoDB's own Python driver has encoded.

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{hmac, pbkdf2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::SECRET;
use crate::support::peer::{Script, Wire};

/// The whole answer of a primary to `hello`, the first request, with the fields of MongoDB 7.
pub(super) const HELLO: &[u8] = b"\
    \x0c\x02\0\0e\0\0\0\x01\0\0\0\xdd\x07\0\0\0\0\0\0\0\xf7\x01\0\0\x03topologyVersion\0-\0\0\
    \0\x07processId\0e\xa1\xb2\xc3\xd4\xe5\xf6\x07\x18):K\x12counter\0\x06\0\0\0\0\0\0\0\0\x04\
    hosts\0\x15\0\0\0\x020\0\x09\0\0\0db:27017\0\0\x02setName\0\x04\0\0\0rs0\0\x10setVersion\0\
    \x01\0\0\0\x08isWritablePrimary\0\x01\x08secondary\0\0\x02primary\0\x09\0\0\0db:27017\0\
    \x02me\0\x09\0\0\0db:27017\0\x07electionId\0\x7f\xff\xff\xff\0\0\0\0\0\0\0\x01\x03lastWrit\
    e\0@\0\0\0\x03opTime\0\x1c\0\0\0\x11ts\0\x01\0\0\0\0\xb9Ui\x12t\0\x01\0\0\0\0\0\0\0\0\x09l\
    astWriteDate\0\0\xa8\xdav\x9b\x01\0\0\0\x10maxBsonObjectSize\0\0\0\0\x01\x10maxMessageSize\
    Bytes\0\0l\xdc\x02\x10maxWriteBatchSize\0\xa0\x86\x01\0\x09localTime\0\0\xa8\xdav\x9b\x01\
    \0\0\x10logicalSessionTimeoutMinutes\0\x1e\0\0\0\x10connectionId\0\x0c\0\0\0\x10minWireVer\
    sion\0\0\0\0\0\x10maxWireVersion\0\x15\0\0\0\x08readOnly\0\0\x01ok\0\0\0\0\0\0\0\xf0?\0";

/// `{"ok": 1.0}`.
pub(super) const PING: &[u8] = b"\
    \x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0?\0";

/// The error of a login that fails.
pub(super) const AUTHENTICATION_FAILED: &[u8] = b"\
    a\0\0\0\x01ok\0\0\0\0\0\0\0\0\0\x02errmsg\0\x17\0\0\0Authentication failed.\0\x10code\0\
    \x12\0\0\0\x02codeName\0\x15\0\0\0AuthenticationFailed\0\0";

/// An answer to the request with this `number`.
pub(super) fn reply(number: i32, document: &[u8]) -> Vec<u8> {
    let length = i32::try_from(21 + document.len()).expect("it is short");
    let header = [length, 100 + number, number, 2013, 0].map(i32::to_le_bytes).concat();
    [&header[..], &[0], document].concat()
}

/// Reads a whole request.
async fn hear(wire: &mut Wire) -> Option<Vec<u8>> {
    let length = wire.read_i32_le().await.ok()?;
    let mut rest = vec![0; usize::try_from(length).ok()? - 4];
    wire.read_exact(&mut rest).await.ok()?;
    Some(rest)
}

/// Answers each request with the next of `replies`.
pub(super) fn scripted(replies: &[&[u8]]) -> Script {
    let replies: Arc<[Vec<u8>]> = replies.iter().map(|reply| reply.to_vec()).collect();
    Arc::new(move |mut wire| {
        let replies = Arc::clone(&replies);
        Box::pin(async move {
            for reply in replies.iter() {
                hear(&mut wire).await?;
                wire.write_all(reply).await.ok()?;
            }
            Some(wire)
        })
    })
}

/// Answers the second request, the login, if it is one by the certificate of `user`, as any server
/// would; then a `ping`.
pub(super) fn by_certificate(user: Option<&'static str>) -> Script {
    Arc::new(move |mut wire| {
        Box::pin(async move {
            hear(&mut wire).await?;
            wire.write_all(HELLO).await.ok()?;
            // `{"authenticate": 1, "mechanism": "MONGODB-X509", "user": …, "$db": "$external"}`.
            let request = hear(&mut wire).await?;
            let start = &b"\x10authenticate\0\x01\0\0\0\x02mechanism\0\x0d\0\0\0MONGODB-X509\0"[..];
            let user = user.map(|user| {
                let length = u8::try_from(user.len() + 1).expect("it is short");
                [&b"\x02user\0"[..], &[length, 0, 0, 0], user.as_bytes(), b"\0"].concat()
            });
            let end = b"\x02$db\0\x0a\0\0\0$external\0\0";
            let wanted = [start, &user.unwrap_or_default(), end].concat();
            let right = request.ends_with(&wanted);
            let answer = if right { PING } else { AUTHENTICATION_FAILED };
            wire.write_all(&reply(2, answer)).await.ok()?;
            hear(&mut wire).await?;
            wire.write_all(&reply(3, PING)).await.ok()?;
            Some(wire)
        })
    })
}

/// A server that lets whoever knows [`SECRET`] in.
pub(super) fn logging_in() -> Script {
    knowing(SECRET)
}

/// Somebody who does not know the password, and lets everybody in.
pub(super) fn pretending() -> Script {
    knowing("another")
}

/// Says that it `knows` a password, whatever it was shown.
fn knowing(known: &'static str) -> Script {
    Arc::new(move |mut wire| {
        Box::pin(async move {
            hear(&mut wire).await?;
            wire.write_all(HELLO).await.ok()?;
            let start = hear(&mut wire).await?;
            let first = text(&start, b"n,,");
            let bare = first.strip_prefix("n,,")?;
            let challenge = format!("r={}more,s=c2FsdHNhbHQ=,i=4096", bare.split_once("r=")?.1);
            wire.write_all(&reply(2, &sasl(&challenge, false))).await.ok()?;
            let proof = text(&hear(&mut wire).await?, b"c=biws");
            let without = proof.rsplit_once(",p=")?.0;
            let signed = format!("{bare},{challenge},{without}");
            let last = format!("v={}", BASE64.encode(signature(known, &signed)));
            wire.write_all(&reply(3, &sasl(&last, true))).await.ok()?;
            hear(&mut wire).await?;
            wire.write_all(&reply(4, PING)).await.ok()?;
            Some(wire)
        })
    })
}

/// The text in `message` that starts with `start`, to its last printable character.
fn text(message: &[u8], start: &[u8]) -> String {
    let at = message.windows(start.len()).position(|bytes| bytes == start).expect("it is there");
    let text = message[at..].iter().take_while(|b| b.is_ascii_graphic());
    text.map(|b| char::from(*b)).collect()
}

/// What the server proves itself by (RFC 5802, section 3).
fn signature(password: &str, signed: &str) -> Vec<u8> {
    let mut salted = [0; 32];
    let count = NonZeroU32::new(4096).expect("it is not zero");
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, count, b"saltsalt", password.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    sign(sign(&salted, b"Server Key").as_ref(), signed.as_bytes()).as_ref().to_vec()
}

/// `{"conversationId": 1, "done": …, "payload": …, "ok": 1.0}`.
fn sasl(payload: &str, done: bool) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("it is short");
    let mut document = b"\0\0\0\0\x10conversationId\0\x01\0\0\0\x08done\0".to_vec();
    document.push(done.into());
    document.extend_from_slice(b"\x05payload\0");
    document.extend_from_slice(&[length, 0, 0, 0, 0]);
    document.extend_from_slice(payload.as_bytes());
    document.extend_from_slice(b"\x01ok\0\0\0\0\0\0\0\xf0\x3f\0");
    document[0] = u8::try_from(document.len()).expect("it is short");
    document
}
