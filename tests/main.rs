//! What users of vitalsign see, a module a story.

mod kinds_sql;
mod support;
