//! Redis: the `redis` kind, and a check of the application's own client.

#[cfg(feature = "redis-client")]
mod client;
#[cfg(feature = "redis")]
mod info;
#[cfg(feature = "redis")]
mod kind;
#[cfg(feature = "redis")]
mod options;
#[cfg(feature = "redis")]
mod resp;

use crate::model::Reason;

#[cfg(feature = "redis-client")]
pub use client::manager;
#[cfg(feature = "redis")]
pub(crate) use options::RedisOptions;

/// The reason that the code of a server's error stands for, where the code alone tells.
fn reason_of_code(code: &str) -> Option<Reason> {
    Some(match code {
        // DENIED: without a password, only clients on the same host are let in.
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Reason::AuthFailed,
        "LOADING" | "MASTERDOWN" | "BUSY" | "MISCONF" | "CLUSTERDOWN" => Reason::NotServing,
        "OOM" => Reason::Overloaded,
        _ => return None,
    })
}

/// How the text begins by which a server turns a client away that is one too many.
const TOO_MANY_CLIENTS: &str = "max number of clients";
