//! The `vitalsign` program.

mod app;
mod cli;
mod commands;
mod exit;
mod reload;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
