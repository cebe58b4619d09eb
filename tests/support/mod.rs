//! What the stories stand on: real servers on free loopback ports, the binary, small clients.

pub(crate) mod alertmanager;
pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod certs;
pub(crate) mod checks;
pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod example;
pub(crate) mod http;
pub(crate) mod mariadb;
pub(crate) mod memcached;
pub(crate) mod named;
pub(crate) mod openapi;
pub(crate) mod otlp;
pub(crate) mod peer;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod python;
pub(crate) mod rabbitmq;
pub(crate) mod redis;
pub(crate) mod service;
pub(crate) mod spans;
pub(crate) mod stage;
pub(crate) mod tansu;
pub(crate) mod udp;
