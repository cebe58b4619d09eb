//! What users of vitalsign see, a module a story.

// clippy.toml allows these in tests, but does not see helpers as such.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;
mod telemetry;
