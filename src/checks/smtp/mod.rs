//! The `smtp` kind.

mod check;
mod mode;
mod options;
mod reply;

pub(crate) use options::SmtpOptions;
