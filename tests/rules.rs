//! The rules for Prometheus: what is printed, what is committed, and what fires.

mod committed;
mod fitted;
mod names;
mod promtool;
mod victoria;
