//! What is read of JSON, and what is not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Option<Value> {
    Document::read(text.as_bytes()).map(Document::into_value)
}

#[test]
fn what_serde_json_refuses_beside_the_point_is_read() {
    for (text, wanted) in [
        (r#"{"a":"\ud83d","b":1}"#, json!({"a": "\u{fffd}", "b": 1})),
        (r#"{"\ude00":1,"b":"\ud83dx"}"#, json!({"\u{fffd}": 1, "b": "\u{fffd}x"})),
        (r#"["\ud83d\ud83d\ude00","\ud83dA"]"#, json!(["\u{fffd}😀", "\u{fffd}A"])),
        (r#"["\u0041\t\/\"", "é"]"#, json!(["A\t/\"", "é"])),
        ("\u{feff}{\"a\": 1 }\r\n", json!({"a": 1})),
        ("[1e999, -1e999, 1e-999]", json!([f64::MAX, f64::MIN, 0.0])),
        ("[18446744073709551615, -1, 1.5]", json!([u64::MAX, -1, 1.5])),
        ("\"a\tb\"", json!("a\tb")),
        (r#"{"a":1,"a":2}"#, json!({"a": 2})),
        (" null ", json!(null)),
        ("[[],{}, true,false]", json!([[], {}, true, false])),
    ] {
        assert_eq!(read(text), Some(wanted), "{text}");
    }
    let latin_1 = b"{\"a\":\"caf\xe9\",\"b\":1}";
    let read = Document::read(latin_1).expect("JSON");
    assert_eq!(read.value()["b"], json!(1));
}

#[test]
fn what_is_no_json_is_none() {
    for text in [
        "",
        "up",
        "{",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":1,}",
        "[1 2]",
        "1 2",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "nul",
        "NaN",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "[",
        "]",
        "{]",
        "'a'",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn a_document_may_be_deep_where_nobody_asks() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let document = format!("{{\"deep\":{deep},\"status\":\"up\"}}");
    let document = Document::read(document.as_bytes()).expect("JSON");
    assert!(document.is_cut() && document.value()["status"] == json!("up"));
    for wrong in ["[".repeat(100_000), "[".repeat(100_000) + "}"] {
        assert!(Document::read(wrong.as_bytes()).is_none());
    }
    let fits = "[".repeat(DEEPEST) + &"]".repeat(DEEPEST);
    assert!(!Document::read(fits.as_bytes()).expect("JSON").is_cut());
}

#[test]
fn numbers_are_the_same_by_value_wherever_they_stand() {
    let text = r#"{"a/b": [1, {"n": 9007199254740993.0}], "~": 1e400, "n": 1e400, "n": 5}"#;
    let document = Document::read(text.as_bytes()).expect("JSON");
    let same = |pointer: &str, expected: Value| {
        document.same(pointer, document.value().pointer(pointer).expect(pointer), &expected)
    };
    assert!(same("/a~1b", json!([1.0, {"n": 9_007_199_254_740_993_i64}])));
    assert!(!same("/a~1b", json!([1, {"n": 9_007_199_254_740_992_i64}])));
    assert!(!same("/a~1b", json!([1])));
    assert!(!same("/~0", json!(f64::MAX)));
    assert!(same("/n", json!(5)));
    for (found, expected) in [
        (json!("1"), json!(1)),
        (json!(true), json!("true")),
        (json!([1]), json!([1, 2])),
        (json!({"a": 1}), json!({})),
        (json!(u64::MAX), json!(1)),
    ] {
        assert!(!document.same("", &found, &expected), "{found} {expected}");
    }
}

proptest! {
    #[test]
    fn what_serde_json_reads_is_read_the_same(text in "[\\[\\]{}:, 0-9\"\\\\untrfalsd-]{0,24}") {
        let found = read(&text);
        if let Ok(wanted) = serde_json::from_str::<Value>(&text) {
            prop_assert_eq!(found, Some(wanted));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Document::read(&bytes);
    }
}
