//! What users of vitalsign see, a module a story.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod engine;
mod layers;
mod support;
