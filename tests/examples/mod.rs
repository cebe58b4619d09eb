//! The examples, started as their readers would start them.

mod embed;
mod frameworks;
mod kinds;
mod manifest;
mod passive;
mod two_listeners;
