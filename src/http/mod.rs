//! The HTTP surface: who may connect, what is measured of it, and how it says no.
//!
//! [`Server`] serves any [`axum::Router`] on a listener, with bounds on how many clients may
//! connect, how slow they may be and how long a shutdown takes.

mod connections;
mod drive;
pub(crate) mod measure;
pub(crate) mod problem;
pub mod server;
pub mod tls;
mod transfer;

pub use server::{Server, Stopped};
pub use tls::{TlsError, tls_config};
