//! What users of vitalsign see, a module a story.

mod configuration;
mod configuration_damage;
mod configuration_loading;
mod support;
