//! The `mongodb` kind: the check is in `check.rs`, its options are in `options.rs`, `url.rs` and
//! `query.rs`; the other files speak the protocol.

mod bson;
mod check;
mod connection;
mod listing;
mod login;
mod message;
mod options;
mod query;
mod reply;
mod url;

pub(crate) use options::MongodbOptions;
