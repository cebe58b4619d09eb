//! The `http` kind: JSON that is read, and how its values are compared.

use vitalsign::{Failure, Reason};

use super::answers::ask_peer;
use crate::support::peer::{self, http_answer};

/// Asks for JSON with this body.
async fn json(body: impl AsRef<[u8]>, expected: &str) -> Result<(), Failure> {
    let answer = peer::answering(http_answer("200 OK", "", body));
    ask_peer(answer, &format!("expect.json = {{ {expected} }}")).await
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_a_document() {
    json("\u{feff}{\"status\":\"UP\"}", "'$.status' = 'UP'").await.expect("UTF-8");
    let wide: Vec<u8> = "\u{feff}{\"a\":\"é\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    json(wide, "'$.a' = 'é'").await.expect("UTF-16");
}

#[tokio::test]
async fn numbers_are_compared_by_value_and_exactly() {
    for (body, expected, same) in [
        ("9007199254740993", "9007199254740993", true),
        ("9007199254740993", "9007199254740992", false),
        ("9007199254740992", "9007199254740993", false),
        ("9007199254740993.0", "9007199254740993", true),
        ("9007199254740993", "9007199254740992.0", false),
        ("9223372036854775808", "9223372036854775807", false),
        ("1e0", "1", true),
        ("1.0", "1", true),
        ("1", "1.0", true),
        ("10e-1", "1", true),
        ("1e400", "1", false),
        ("1e30", "1e30", true),
        ("1000000000000000000000000000001", "1e30", false),
        ("0.1", "0.1", true),
        ("-0.0", "0", true),
    ] {
        let found = json(format!("{{\"id\": {body}}}"), &format!("'$.id' = {expected}")).await;
        assert_eq!(
            found.err().map(|f| f.reason()),
            (!same).then_some(Reason::UnexpectedBody),
            "{body} {expected}"
        );
    }
    let list = json("[[1, 9007199254740993]]", "'$[0]' = [1, 9007199254740992]").await;
    assert_eq!(list.expect_err("they differ").reason(), Reason::UnexpectedBody);
}

#[tokio::test]
async fn what_nobody_asks_for_in_json_decides_nothing() {
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    for beside in ["\"\\ud83d\"", "1e999", "123456789012345678901234567890", &deep, "\"a\tb\""] {
        for body in [
            format!("{{\"beside\":{beside},\"status\":\"UP\"}}"),
            format!("{{\"status\":\"UP\",\"\\udead\":{beside}}}"),
        ] {
            json(&body, "'$.status' = 'UP'").await.expect("nobody asks for it");
        }
    }
    json(b"{\"a\":\"caf\xe9\",\"b\":1}", "'$.b' = 1").await.expect("Latin-1 beside");
    let half = json("{\"a\":\"x\\ud83d\"}", "'$.a' = 'x'").await.expect_err("there is more");
    assert_eq!(half.reason(), Reason::UnexpectedBody);
}
