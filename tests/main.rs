//! What users of vitalsign see, a module a story.

// The helpers of tests fail a test as its own lines do.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod server;
mod configuration;
mod server_tls;
mod support;
