//! What users of vitalsign see, a module a story.

mod exposition;
mod support;
