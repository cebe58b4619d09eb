//! The service as its users meet it: started, asked, cut off from its dependencies, stopped.

mod blocked;
mod commands;
mod conventions;
mod databases;
mod descriptors;
mod details;
mod document;
mod lifecycle;
mod probes;
mod secrets;
mod settings;
mod surface;
mod telemetry;
mod traces;
