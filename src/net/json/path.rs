//! JSONPath (RFC 9535), without comparisons that would be wrong.
//!
//! A filter such as `[?@.id==7]` compares numbers as doubles, and from 2^53 on many integers are
//! the same double: a filter by one id would select another. So a filter that names such a number
//! is refused when the configuration is read. Two numbers of a document that a filter compares
//! with each other are compared as doubles; RFC 9535 promises no more (section 2.1).

use serde_json_path::JsonPath;

/// The first integer that shares its double with another one.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;

/// Reads a path as it stands in the configuration.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(crate) fn parse(text: &str) -> Result<JsonPath, String> {
    let path = JsonPath::parse(text)
        .map_err(|_| format!("{text} is no JSONPath; write one such as $.status"))?;
    match numbers(text).into_iter().find(|number| is_inexact(number)) {
        None => Ok(path),
        Some(number) => Err(format!(
            "{text} compares with {number}, and a filter cannot tell numbers from 2^53 on from \
             each other; select the value by a path without it, such as $[0].id, and expect it"
        )),
    }
}

fn is_inexact(number: &str) -> bool {
    number.parse().is_ok_and(|value: f64| value.abs() >= FIRST_INEXACT)
}

/// The numbers in a path that is right, those in names and strings left out.
fn numbers(path: &str) -> Vec<&str> {
    let bytes = path.as_bytes();
    let run = |from: usize, part: fn(&u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| part(byte)).count()
    };
    let (mut numbers, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            quote @ (b'"' | b'\'') => after_string(bytes, at + 1, *quote),
            b'-' | b'0'..=b'9' => {
                let end = run(at, |b| b.is_ascii_digit() || b"+-.eE".contains(b));
                numbers.push(&path[at..end]);
                end
            }
            _ => run(at, |b| b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii()).max(at + 1),
        };
    }
    numbers
}

/// Where the string ends that begins at `at`.
fn after_string(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_names_a_number_which_a_double_cannot_hold_is_refused() {
        for number in [
            "9007199254740993",
            "-9007199254740993",
            "9007199254740992",
            "9007199254740993.0",
            "9.007199254740993e15",
            "1e40",
        ] {
            for path in [
                format!("$[?@.id=={number}]"),
                format!("$[?{number} < @.id].name"),
                format!("$.a['b'][?@.c == 1 && (@.d >= {number} || @.e)]"),
                format!("$[?length(@.a)!={number}]"),
            ] {
                let error = parse(&path).expect_err(&path);
                assert!(error.contains(&format!("compares with {number}")), "{error}");
            }
        }
    }

    #[test]
    fn other_numbers_are_no_concern_of_it() {
        for path in [
            "$[?@.id==9007199254740991]",
            "$[?@.id==-9007199254740991]",
            "$[?@.ratio<=0.1]",
            "$[?@.id=='9007199254740993']",
            r#"$[?@.id=="a\"9007199254740993"]"#,
            "$.a9007199254740993.b_9007199254740993",
            "$['9007199254740993'][\"9007199254740993\"]",
            "$.ä9007199254740993[-1]",
            "$[1:9:2]..id",
        ] {
            assert!(parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_as_such() {
        for text in ["", "status", "$.", "$[", "$[?@.id==]", "$[?@.a=='", "$\\"] {
            let error = parse(text).expect_err(text);
            assert!(error.ends_with("is no JSONPath; write one such as $.status"), "{error}");
        }
    }
}
