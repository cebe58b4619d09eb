//! What users of vitalsign see, a module a story.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod kinds_sql;
mod support;
