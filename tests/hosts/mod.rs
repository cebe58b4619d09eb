//! What hosts are given beside the routes: the gRPC health service, and helpers for their tests.

#[cfg(feature = "tonic")]
mod grpc;
mod testing;
