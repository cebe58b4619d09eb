//! Shared by the kinds for message brokers: the attributes of their spans.

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::engine::traces;
use crate::net::Endpoint;

/// The attributes of a CLIENT span by the conventions for messaging.
pub(crate) fn attributes(
    system: &'static str,
    operation: &'static str,
    endpoint: &Endpoint,
) -> Vec<KeyValue> {
    let [address, port] = endpoint.attributes();
    vec![
        KeyValue::new(traces::MESSAGING_SYSTEM_NAME, system),
        KeyValue::new(semconv::MESSAGING_OPERATION_NAME, operation),
        address,
        port,
    ]
}
