//! What users of vitalsign see, a module a story.

// The helpers of tests fail a test as its own lines do.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod server;
mod configuration;
mod server_tls;
// clippy.toml allows these in tests, but does not see helpers as such.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod layers;
mod support;
mod telemetry;
