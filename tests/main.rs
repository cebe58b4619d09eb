//! What users of vitalsign see, a module a story.

// The helpers of tests fail a test as its own lines do; clippy.toml does not see them as tests.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod configuration;
mod layers;
mod server;
mod server_tls;
mod configuration_loading;
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails its test"
)]

mod kinds;
mod kinds_sql;
mod support;
mod telemetry;
