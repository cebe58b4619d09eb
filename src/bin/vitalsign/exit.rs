//! The exit codes of the program, by the conventions of `sysexits.h`.

/// Fine.
pub(crate) const OK: u8 = 0;
/// A check or a probe failed.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// It cannot listen (`EX_OSERR`).
pub(crate) const CANNOT_LISTEN: u8 = 71;
/// Reading or writing failed (`EX_IOERR`).
pub(crate) const IO: u8 = 74;
/// The configuration is wrong (`EX_CONFIG`).
pub(crate) const CONFIGURATION: u8 = 78;

/// Prints what is wrong to standard error, and returns `code`.
pub(crate) fn fail(code: u8, message: &str) -> u8 {
    eprintln!("vitalsign: {message}");
    code
}
