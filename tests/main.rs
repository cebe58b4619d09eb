//! What users of vitalsign see, a module a story.

mod server;
mod configuration;
mod support;
