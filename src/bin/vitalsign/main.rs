//! The `vitalsign` program: `cli.rs` parses the command line, `serve.rs` runs the service,
//! `reload/` reloads its configuration, and `commands/` has the other commands.

mod cli;
mod commands;
mod exit;
mod reload;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
