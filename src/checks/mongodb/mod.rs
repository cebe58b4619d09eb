//! The `mongodb` kind.

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
