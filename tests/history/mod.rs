//! What the history remembers, on every kind of store: over restarts, and in trouble.

mod incidents;
mod kills;
mod pooler;
mod postgres;
mod recorder;
mod restart;
mod runs;
mod schema;
mod service;
mod sqlite;
mod store;
mod trouble;
