//! The `memcached` kind: the check is in `check.rs`, its options are in `options.rs`, and
//! `stats.rs` parses the answer to `stats`.

mod check;
mod options;
mod stats;

pub(crate) use options::MemcachedOptions;
