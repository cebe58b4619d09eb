//! The messages of `grpc/health/v1/health.proto`, of the version that has `List`.

use std::collections::BTreeMap;

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

impl CheckResponse {
    pub(super) fn of(status: ServingStatus) -> Self {
        Self { status: status.into() }
    }
}

/// `HealthListRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListRequest {}

/// `HealthListResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) statuses: BTreeMap<String, CheckResponse>,
}

/// `HealthCheckResponse.ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    /// For watches alone.
    ServiceUnknown = 3,
}
