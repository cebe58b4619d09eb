//! What the stories stand on: real servers on free loopback ports, the binary, small clients.

pub(crate) mod http;
pub(crate) mod stage;
pub(crate) mod otlp;
