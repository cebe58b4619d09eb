//! Replaces hyper's own 4xx answers by problem+json answers.
//!
//! hyper answers a request head that it cannot read by itself, with an empty body and without the
//! headers that every answer of ours carries. [`rewritten`] makes a problem of such an answer.

use axum::response::IntoResponse;
use hyper::StatusCode;

use crate::http::middleware::guard;
use crate::http::problem::Problem;

/// The answer to be sent instead of `head`, which hyper wrote; `None` where it refuses nothing.
pub(super) fn rewritten(head: &[u8]) -> Option<Vec<u8>> {
    let head = str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let (status_line, fields) = head.split_once("\r\n")?;
    let (_version, status) = status_line.split_once(' ')?;
    let status = StatusCode::from_bytes(status.as_bytes().get(..3)?).ok()?;
    let detail = match status {
        StatusCode::BAD_REQUEST => "the request head cannot be read as HTTP/1.1",
        StatusCode::URI_TOO_LONG => "the path and the query are too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the request head is larger than 64 KiB",
        _ => return None,
    };
    let date = fields.split("\r\n").find(|field| field.starts_with("date:"));
    let problem = Problem::new(status, detail);
    let body = problem.to_json();
    let answer = guard(problem.into_response());
    let mut text = format!("{status_line}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in answer.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if let Some(field) = date {
        text.extend_from_slice(field.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_are_rewritten() {
        let head = |status: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\ndate: Tue, 01 Dec 2026\r\n\r\n")
        };
        for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"]
        {
            let text = rewritten(head(status).as_bytes()).expect("a refusal");
            let text = String::from_utf8(text).expect("text");
            let (fields, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(fields.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
            for field in [
                "connection: close",
                "content-type: application/problem+json",
                "cache-control: no-store",
                "x-content-type-options: nosniff",
                "date: Tue, 01 Dec 2026",
                &format!("content-length: {}", body.len()),
            ] {
                assert_eq!(fields.matches(field).count(), 1, "{field} in {text}");
            }
            assert_eq!(fields.matches("content-length").count(), 1, "{text}");
        }
        for other in ["", "\r\n\r\n", &head("200 OK"), &head("404 Not Found"), "HTTP/1.1 400\r\n"] {
            assert!(rewritten(other.as_bytes()).is_none(), "{other}");
        }
    }
}
