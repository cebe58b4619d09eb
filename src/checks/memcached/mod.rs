//! The `memcached` kind.

mod check;
mod options;
mod stats;

pub(crate) use options::MemcachedOptions;
