//! Redis: the `redis` kind, and a check of the application's own client.

#[cfg(feature = "redis")]
mod check;
#[cfg(feature = "redis-client")]
mod client;
#[cfg(feature = "redis")]
mod cluster;
#[cfg(feature = "redis")]
mod connection;
mod error;
#[cfg(feature = "redis")]
mod info;
#[cfg(feature = "redis")]
mod options;
#[cfg(feature = "redis")]
mod reply;
#[cfg(feature = "redis")]
mod sentinel;
#[cfg(feature = "redis")]
mod url;

#[cfg(feature = "redis-client")]
pub use client::manager;
#[cfg(feature = "redis-client")]
pub(crate) use client::reason;
#[cfg(feature = "redis")]
pub(crate) use options::RedisOptions;
