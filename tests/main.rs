//! What users of vitalsign see, a module a story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails its test"
)]

mod kinds;
mod support;
