//! The service as its users meet it: started, asked, cut off from its dependencies, stopped.

mod blocked;
mod commands;
mod conventions;
mod databases;
mod descriptors;
mod details;
mod document;
mod events;
mod heartbeat;
mod history_routes;
mod lifecycle;
mod maintenance;
mod no_history;
mod openapi;
mod page;
mod probes;
mod proxies;
mod proxies_files;
mod reload;
mod reload_files;
mod reload_load;
mod secrets;
mod settings;
mod surface;
mod telemetry;
mod traces;
