//! The `smtp` kind: the check is in `check.rs`, its options are in `options.rs` and `mode.rs`, and
//! `reply.rs` parses replies.

mod check;
mod mode;
mod options;
mod reply;

pub(crate) use options::SmtpOptions;
