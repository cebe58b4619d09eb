//! What hosts are given beside the routes: the gRPC health service, checks of the clients that they
//! have, and helpers for their tests.

mod details;
#[cfg(feature = "tonic")]
mod grpc;
mod observed;
#[cfg(feature = "redis-client")]
mod redis;
#[cfg(feature = "reqwest-client")]
mod reqwest;
mod sampling;
mod testing;
