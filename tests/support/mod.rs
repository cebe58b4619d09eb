//! What the stories stand on: real servers on free loopback ports, the binary, small clients.

pub(crate) mod prometheus;
