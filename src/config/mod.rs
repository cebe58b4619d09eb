//! Configuration.
pub mod kind;
pub mod values;

pub use kind::{Kind, KindOptions, OptionError, Parsed};
pub use values::{ByteSize, ConfigPath, Period, Secret, Tls, TlsOptions};
