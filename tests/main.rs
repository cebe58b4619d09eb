//! What users of vitalsign see, a module a story.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that panics has failed")]

mod alertmanager;
mod browser;
mod chain;
mod configuration;
mod configuration_built_in;
mod configuration_damage;
mod configuration_loading;
mod configuration_urls;
mod configuration_watch;
mod dashboards;
mod documents;
mod engine;
mod events;
mod examples;
mod exposition;
mod history;
mod hosts;
mod kind_registry;
mod kinds;
mod kinds_local;
mod kinds_sql;
mod layers;
mod library;
mod observe;
mod routers;
mod rules;
mod server;
mod server_clients;
mod server_tls;
mod service;
mod support;
mod telemetry;
