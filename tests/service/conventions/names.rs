//! The attributes that the conventions name for each kind.

use opentelemetry_semantic_conventions::attribute as semconv;

/// Names of the conventions of 1.45, which the crate of the conventions does not have yet.
pub(super) const RPC_STATUS_CODE: &str = "rpc.status_code";
pub(super) const MESSAGING_SYSTEM_NAME: &str = "messaging.system.name";

/// What every CLIENT span may carry; a deprecated name would be a warning here.
pub(super) const COMMON: &[&str] = &[
    semconv::ERROR_TYPE,
    semconv::NETWORK_PEER_ADDRESS,
    semconv::NETWORK_PEER_PORT,
    semconv::SERVER_ADDRESS,
    semconv::SERVER_PORT,
];

const DB: &[&str] = &[
    semconv::DB_NAMESPACE,
    semconv::DB_OPERATION_NAME,
    semconv::DB_QUERY_TEXT,
    semconv::DB_RESPONSE_STATUS_CODE,
    semconv::DB_SYSTEM_NAME,
];

/// What the spans of a kind may carry beside, and what each must.
pub(super) fn names(kind: &str) -> (&'static [&'static str], &'static [&'static str]) {
    const SERVER: [&str; 2] = [semconv::SERVER_ADDRESS, semconv::SERVER_PORT];
    match kind {
        "http" => (
            &[
                semconv::HTTP_REQUEST_METHOD,
                semconv::HTTP_RESPONSE_STATUS_CODE,
                semconv::NETWORK_PROTOCOL_VERSION,
                semconv::URL_FULL,
            ],
            &[semconv::HTTP_REQUEST_METHOD, semconv::URL_FULL, SERVER[0], SERVER[1]],
        ),
        "tls" => (
            &[
                semconv::NETWORK_TRANSPORT,
                semconv::TLS_PROTOCOL_NAME,
                semconv::TLS_PROTOCOL_VERSION,
                semconv::TLS_SERVER_NOT_AFTER,
                semconv::TLS_SERVER_NOT_BEFORE,
            ],
            &[semconv::NETWORK_TRANSPORT, semconv::TLS_PROTOCOL_NAME, SERVER[0], SERVER[1]],
        ),
        "dns" => (
            &[
                semconv::DNS_QUESTION_NAME,
                semconv::NETWORK_PROTOCOL_NAME,
                semconv::NETWORK_TRANSPORT,
            ],
            &[semconv::DNS_QUESTION_NAME, semconv::NETWORK_TRANSPORT, SERVER[0], SERVER[1]],
        ),
        "tcp" => {
            (&[semconv::NETWORK_TRANSPORT], &[semconv::NETWORK_TRANSPORT, SERVER[0], SERVER[1]])
        }
        "grpc" => (
            &[semconv::RPC_METHOD, RPC_STATUS_CODE, semconv::RPC_SYSTEM_NAME],
            &[semconv::RPC_METHOD, semconv::RPC_SYSTEM_NAME, SERVER[0], SERVER[1]],
        ),
        "memcached" => {
            (DB, &[semconv::DB_SYSTEM_NAME, semconv::DB_OPERATION_NAME, SERVER[0], SERVER[1]])
        }
        "smtp" => (
            &[semconv::NETWORK_PROTOCOL_NAME, semconv::NETWORK_TRANSPORT],
            &[semconv::NETWORK_PROTOCOL_NAME, semconv::NETWORK_TRANSPORT, SERVER[0], SERVER[1]],
        ),
        "websocket" => (
            &[semconv::HTTP_REQUEST_METHOD, semconv::HTTP_RESPONSE_STATUS_CODE, semconv::URL_FULL],
            &[semconv::HTTP_REQUEST_METHOD, semconv::URL_FULL, SERVER[0], SERVER[1]],
        ),
        "amqp" | "kafka" | "mqtt" | "nats" => (
            &[
                semconv::MESSAGING_DESTINATION_NAME,
                semconv::MESSAGING_OPERATION_NAME,
                MESSAGING_SYSTEM_NAME,
                semconv::NETWORK_PROTOCOL_NAME,
                semconv::NETWORK_PROTOCOL_VERSION,
                semconv::TLS_PROTOCOL_VERSION,
            ],
            &[semconv::MESSAGING_OPERATION_NAME, MESSAGING_SYSTEM_NAME, SERVER[0], SERVER[1]],
        ),
        "sqlite" => (DB, &[semconv::DB_SYSTEM_NAME, semconv::DB_NAMESPACE]),
        _ => (DB, &[semconv::DB_SYSTEM_NAME, semconv::DB_NAMESPACE, SERVER[0], SERVER[1]]),
    }
}
