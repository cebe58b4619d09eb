//! What users of vitalsign see, a module a story.

mod support;
mod telemetry;
