//! What the history remembers, on every kind of store: over restarts, and in trouble.

mod incidents;
mod kills;
mod postgres;
mod restart;
mod runs;
mod schema;
mod service;
mod sqlite;
mod store;
mod told;
mod trouble;
