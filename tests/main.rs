//! What users of vitalsign see, a module a story.

// The helpers of tests fail a test as its own lines do; clippy.toml does not see them as tests.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod configuration;
mod configuration_loading;
mod kinds;
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod kinds_sql;
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod engine;
mod layers;
mod server;
mod server_tls;
mod service;
mod support;
mod telemetry;
