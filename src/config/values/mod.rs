//! The value types of options, each with the text form that a configuration holds and the schema
//! that describes it.
//!
//! Parsing here does no I/O: the loader replaces references to files and variables before. Markers
//! in the schema say where: `x-secret` (also accepts `{ file = … }` and `{ env = … }`), `x-path`
//! (relative to the file in which it is written), and in addition `x-pem` (the `certificates` or
//! the `key` in that file are part of the configuration).

mod count;
mod duration;
mod path;
mod secret;
mod size;
mod size_or_share;
mod tls;

pub use crate::model::Secret;
pub use count::Count;
pub use duration::Period;
pub use path::ConfigPath;
pub(crate) use secret::SHORT_TOKEN;
pub use size::ByteSize;
pub use size_or_share::SizeOrShare;
pub use tls::{ServerTls, Tls, TlsOptions};

/// Reads a value of TOML, for tests.
#[cfg(test)]
fn parse<T: for<'de> serde::Deserialize<'de>>(value: &str) -> Result<T, String> {
    #[derive(serde::Deserialize)]
    struct Holder<T> {
        v: T,
    }
    toml::from_str::<Holder<T>>(&format!("v = {value}"))
        .map(|h| h.v)
        .map_err(|e| e.message().into())
}
