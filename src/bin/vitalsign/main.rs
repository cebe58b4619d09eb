//! The `vitalsign` program.

mod cli;
mod commands;
mod exit;
mod reload;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
