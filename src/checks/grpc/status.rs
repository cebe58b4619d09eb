//! Judges the status that ends a gRPC call.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use percent_encoding::percent_decode;

use crate::engine::check::{Context, Failure};
use crate::engine::traces;
use crate::model::Reason;
use crate::net::{Endpoint, brief};

/// Each status by its number, with its reason.
const STATUSES: [(&str, Reason); 17] = [
    // Judged by its message.
    ("OK", Reason::Other),
    ("CANCELLED", Reason::UnexpectedStatus),
    ("UNKNOWN", Reason::UnexpectedStatus),
    ("INVALID_ARGUMENT", Reason::UnexpectedStatus),
    ("DEADLINE_EXCEEDED", Reason::Timeout),
    // By the health protocol: the server does not know the service.
    ("NOT_FOUND", Reason::NotServing),
    ("ALREADY_EXISTS", Reason::UnexpectedStatus),
    ("PERMISSION_DENIED", Reason::AuthFailed),
    ("RESOURCE_EXHAUSTED", Reason::Overloaded),
    ("FAILED_PRECONDITION", Reason::UnexpectedStatus),
    ("ABORTED", Reason::UnexpectedStatus),
    ("OUT_OF_RANGE", Reason::UnexpectedStatus),
    // It serves gRPC, but not the health protocol.
    ("UNIMPLEMENTED", Reason::Protocol),
    ("INTERNAL", Reason::UnexpectedStatus),
    ("UNAVAILABLE", Reason::NotServing),
    ("DATA_LOSS", Reason::UnexpectedStatus),
    ("UNAUTHENTICATED", Reason::AuthFailed),
];

/// The statuses that [`of_http`] gives, by their place among [`STATUSES`].
const UNKNOWN: usize = 2;
const PERMISSION_DENIED: usize = 7;
const UNIMPLEMENTED: usize = 12;
const INTERNAL: usize = 13;
const UNAVAILABLE: usize = 14;
const UNAUTHENTICATED: usize = 16;

/// The header or trailer that holds a status.
const STATUS: &str = "grpc-status";

/// Whether `headers` hold a status of gRPC.
pub(super) fn is_said(headers: &HeaderMap) -> bool {
    headers.contains_key(STATUS)
}

/// The failure of an answer with this status of HTTP and none of gRPC, such as a proxy's, by gRPC's
/// "HTTP to gRPC Status Code Mapping". The call then ended with that status.
pub(super) fn of_http(cx: &Context, endpoint: &Endpoint, status: StatusCode) -> Failure {
    let (name, reason) = STATUSES[match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }];
    cx.attribute(traces::RPC_STATUS_CODE, name);
    Failure::new(reason, format!("{endpoint} answered HTTP status {status}, to gRPC {name}"))
}

/// Judges the end of the call for `service` by the trailers, and records it on the span.
pub(super) fn judge(
    cx: &Context,
    endpoint: &Endpoint,
    service: &str,
    trailers: &HeaderMap,
) -> Result<(), Failure> {
    let status = trailers.get(STATUS).and_then(|status| status.to_str().ok());
    let status = status.and_then(|number| STATUSES.get(number.parse::<usize>().ok()?));
    let Some((name, reason)) = status else {
        let text = format!("{endpoint} ended its answer without a status of gRPC");
        return Err(Failure::new(Reason::Protocol, text));
    };
    cx.attribute(traces::RPC_STATUS_CODE, *name);
    if *name == "OK" {
        return Ok(());
    }
    let mut text = format!("{endpoint} answered {name} for {}", named(service));
    if let Some(message) = trailers.get("grpc-message") {
        let message = brief(percent_decode(message.as_bytes()).decode_utf8_lossy());
        if !message.trim().is_empty() {
            text = format!("{text}: {}", message.trim());
        }
    }
    Err(Failure::new(*reason, text))
}

/// The service for people.
pub(super) fn named(service: &str) -> String {
    if service.is_empty() { "the server".to_owned() } else { brief(format_args!("`{service}`")) }
}

/// The header `grpc-timeout`: at most 8 digits and a unit.
pub(super) fn timeout(left: Duration) -> String {
    match left.as_millis() {
        millis @ 0..=99_999_999 => format!("{}m", millis.max(1)),
        _ => format!("{}S", left.as_secs().min(99_999_999)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn judged(headers: &[(&'static str, &'static str)]) -> Result<(), (Reason, String)> {
        let trailers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let endpoint = Endpoint::parse("orders:50051").expect("an address");
        let cx = Context::new(Instant::now(), None);
        judge(&cx, &endpoint, "a.B", &trailers.collect())
            .map_err(|failure| (failure.reason(), failure.message().to_owned()))
    }

    #[test]
    fn each_status_has_its_name_and_reason() {
        assert_eq!(judged(&[("grpc-status", "0")]), Ok(()));
        for (number, name, reason) in [
            ("1", "CANCELLED", Reason::UnexpectedStatus),
            ("4", "DEADLINE_EXCEEDED", Reason::Timeout),
            ("5", "NOT_FOUND", Reason::NotServing),
            ("7", "PERMISSION_DENIED", Reason::AuthFailed),
            ("8", "RESOURCE_EXHAUSTED", Reason::Overloaded),
            ("12", "UNIMPLEMENTED", Reason::Protocol),
            ("13", "INTERNAL", Reason::UnexpectedStatus),
            ("14", "UNAVAILABLE", Reason::NotServing),
            ("16", "UNAUTHENTICATED", Reason::AuthFailed),
        ] {
            let text = format!("orders:50051 answered {name} for `a.B`");
            assert_eq!(judged(&[("grpc-status", number)]), Err((reason, text)));
        }
    }

    #[test]
    fn a_status_of_http_is_one_of_grpc_by_its_table() {
        let endpoint = Endpoint::parse("orders:50051").expect("an address");
        let cx = Context::new(Instant::now(), None);
        for (code, name, reason) in [
            (400, "INTERNAL", Reason::UnexpectedStatus),
            (401, "UNAUTHENTICATED", Reason::AuthFailed),
            (403, "PERMISSION_DENIED", Reason::AuthFailed),
            (404, "UNIMPLEMENTED", Reason::Protocol),
            (429, "UNAVAILABLE", Reason::NotServing),
            (500, "UNKNOWN", Reason::UnexpectedStatus),
            (502, "UNAVAILABLE", Reason::NotServing),
            (503, "UNAVAILABLE", Reason::NotServing),
            (504, "UNAVAILABLE", Reason::NotServing),
            (302, "UNKNOWN", Reason::UnexpectedStatus),
        ] {
            let status = StatusCode::from_u16(code).expect("a status");
            let failure = of_http(&cx, &endpoint, status);
            let text = format!("orders:50051 answered HTTP status {status}, to gRPC {name}");
            assert_eq!((failure.reason(), failure.message()), (reason, &*text));
        }
    }

    #[test]
    fn a_status_without_a_message_ends_with_the_service() {
        for message in ["", " ", "%20", "%0A"] {
            let said = judged(&[("grpc-status", "5"), ("grpc-message", message)]);
            let text = said.expect_err("it is unknown").1;
            assert!(text.ends_with("answered NOT_FOUND for `a.B`"), "{text}");
        }
    }

    #[test]
    fn what_is_no_status_is_no_grpc() {
        for headers in [&[][..], &[("grpc-status", "17")], &[("grpc-status", "-1")]] {
            assert_eq!(judged(headers).expect_err("none").0, Reason::Protocol, "{headers:?}");
        }
    }

    #[test]
    fn the_message_of_a_status_is_decoded_and_kept_on_one_line() {
        let said = judged(&[("grpc-status", "14"), ("grpc-message", "caf%C3%A9%0Aclosed %zz")]);
        let text = said.expect_err("it is unavailable").1;
        assert!(text.ends_with("for `a.B`: café closed %zz"), "{text}");
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        for (left, wanted) in [
            (Duration::ZERO, "1m"),
            (Duration::from_millis(1_500), "1500m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(timeout(left), wanted);
        }
    }
}
