//! The service as its users meet it: started, asked, cut off from its dependencies, stopped.

mod commands;
mod databases;
mod details;
mod lifecycle;
mod probes;
mod reload;
mod reload_files;
mod reload_load;
mod secrets;
mod traces;
