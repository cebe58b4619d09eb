//! The service as its users meet it: started, asked, cut off from its dependencies, stopped.

mod blocked;
mod commands;
mod databases;
mod details;
mod lifecycle;
mod probes;
mod secrets;
mod surface;
mod traces;
