//! The status that ends every call of gRPC.

use std::time::Duration;

use hyper::header::HeaderMap;
use opentelemetry_semantic_conventions::attribute as semconv;
use percent_encoding::percent_decode;

use crate::engine::check::{Context, Failure};
use crate::model::Reason;
use crate::net::{Endpoint, brief};

/// Each status by its number, and the reason that it stands for.
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
    // It serves gRPC, but not this protocol of it.
    ("UNIMPLEMENTED", Reason::Protocol),
    ("INTERNAL", Reason::UnexpectedStatus),
    ("UNAVAILABLE", Reason::NotServing),
    ("DATA_LOSS", Reason::UnexpectedStatus),
    ("UNAUTHENTICATED", Reason::AuthFailed),
];

/// Judges how the call for `service` ended by the trailers, and notes it on the span.
pub(super) fn judge(
    cx: &Context,
    endpoint: &Endpoint,
    service: &str,
    trailers: &HeaderMap,
) -> Result<(), Failure> {
    let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok());
    let status = status.and_then(|number| STATUSES.get(number.parse::<usize>().ok()?));
    let Some((name, reason)) = status else {
        let text = format!("{endpoint} ended its answer without a status of gRPC");
        return Err(Failure::new(Reason::Protocol, text));
    };
    cx.attribute(semconv::RPC_RESPONSE_STATUS_CODE, *name);
    if *name == "OK" {
        return Ok(());
    }
    let mut text = format!("{endpoint} answered {name} for {}", named(service));
    if let Some(message) = trailers.get("grpc-message") {
        let message = percent_decode(message.as_bytes()).decode_utf8_lossy();
        text = format!("{text}: {}", brief(message));
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
