//! The kinds that look at this host instead of asking over the network.

mod command;
mod disk;
mod file;
mod memory;
