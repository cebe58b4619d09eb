//! What users of vitalsign see, a module a story.

mod layers;
mod support;
