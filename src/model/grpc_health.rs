//! The messages of `grpc.health.v1.Health`, as `grpc/health/v1/health.proto` has them since `List`.
//!
//! The gRPC health service and the `grpc` check share them.

#[cfg(feature = "tonic")]
use std::collections::BTreeMap;

/// Name of the service.
#[cfg(feature = "tonic")]
pub(crate) const SERVICE: &str = "grpc.health.v1.Health";

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthCheckRequest {
    /// The name asked for; empty for the server as a whole.
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthCheckResponse {
    /// Its status; a number that this version of the protocol does not have is kept as it is.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub(crate) status: i32,
}

#[cfg(feature = "tonic")]
impl HealthCheckResponse {
    /// The answer that says `status`.
    pub(crate) fn of(status: ServingStatus) -> Self {
        Self { status: status.into() }
    }
}

/// `HealthListRequest`.
#[cfg(feature = "tonic")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthListRequest {}

/// `HealthListResponse`.
#[cfg(feature = "tonic")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthListResponse {
    /// The status of each name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) statuses: BTreeMap<String, HealthCheckResponse>,
}

/// `HealthCheckResponse.ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum ServingStatus {
    /// Nothing is known.
    Unknown = 0,
    /// It can be used.
    Serving = 1,
    /// It cannot be used.
    NotServing = 2,
    /// There is no such name; only watches say so.
    ServiceUnknown = 3,
}

impl ServingStatus {
    /// The name in the protocol.
    #[cfg(feature = "grpc")]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}
