//! The command line: parses the arguments and runs the command.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use vitalsign::rules::{Job, LinkBase, Links};

use crate::commands::{self, Format, IncidentsArgs, ProbeArgs, StatusArgs};
use crate::exit::{OK, USAGE};
use crate::serve;

/// Health, metrics and structured status of what a service depends on.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "vitalsign", version, max_term_width = 100)]
struct Cli {
    /// Configuration file. Default: vitalsign.toml in the working directory; without one, an
    /// embedded default
    #[arg(short, long, global = true, value_name = "FILE", env = "VITALSIGN_CONFIG")]
    config: Option<OsString>,

    #[command(flatten)]
    serve: ServeArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args, Clone, Default)]
struct ServeArgs {
    /// Address to listen on, instead of the configured one
    #[arg(long, value_name = "ADDR", env = "VITALSIGN_LISTEN", value_parser = address)]
    listen: Option<Listen>,
}

/// Where the links of alerts lead.
#[derive(Debug, Args)]
struct LinkArgs {
    /// Address of Grafana, which `dashboard_url` begins with; default: http://localhost:3000
    #[arg(long, value_name = "URL")]
    dashboard_url: Option<LinkBase>,
    /// Address of the service's page, for `page_url` and `incident_url`; may be a template, such as
    /// "http://{{ $labels.instance }}"
    #[arg(long, value_name = "URL")]
    page_url: Option<LinkBase>,
}

impl LinkArgs {
    fn links(self) -> Links {
        Links::new(self.dashboard_url, self.page_url)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (the default command)
    Serve(ServeArgs),
    /// Run checks once, now; exit 1 if a gating check failed, or any that was named
    Check {
        /// The checks to run; default: all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// How to print the result
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Read the configuration and list every error, or what was read; exit 0 or 78
    Validate {
        /// The file, instead of --config
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Ask a URL; exit 0 on 2xx, 1 otherwise
    Probe(ProbeArgs),
    /// Show what a running service says; exit 0 when it is up, 1 when it is anything else
    Status(StatusArgs),
    /// Show when checks of a running service were not up
    Incidents(IncidentsArgs),
    /// Copy the history in SQLite to a new file, while the service runs
    Backup {
        /// The copy, which only its owner may read
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print alert and recording rules for Prometheus (YAML)
    Rules {
        /// The job under which Prometheus scrapes the service
        #[arg(long, value_name = "NAME", default_value_t)]
        job: Job,
        /// Rules for any configuration, which read its settings from metrics
        #[arg(long)]
        generic: bool,
        #[command(flatten)]
        links: LinkArgs,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// List the check kinds, or the options of one with types and defaults
    Kinds {
        /// The kind to describe
        #[arg(value_name = "KIND")]
        kind: Option<String>,
    },
}

/// Runs the program as its arguments say.
pub(crate) fn run() -> ExitCode {
    let (cli, config_by_flag) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            let usage = !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if usage { USAGE } else { OK });
        }
    };
    // A variable that is set but empty counts as unset, as everywhere in this field.
    let config = cli.config.filter(|c| !c.is_empty()).map(PathBuf::from);
    let code = match cli.command {
        None => serve::serve(config, cli.serve.listen.flatten()),
        Some(Command::Serve(args)) => {
            serve::serve(config, args.listen.flatten().or(cli.serve.listen.flatten()))
        }
        Some(Command::Check { names, format }) => commands::check(config, &names, format),
        Some(Command::Validate { file }) => commands::validate(file, config, config_by_flag),
        Some(Command::Probe(args)) => commands::probe(&args, config, cli.serve.listen.flatten()),
        Some(Command::Status(args)) => commands::status(&args, config, cli.serve.listen.flatten()),
        Some(Command::Incidents(args)) => {
            commands::incidents(&args, config, cli.serve.listen.flatten())
        }
        Some(Command::Backup { file }) => commands::backup_history(config, &file),
        Some(Command::Rules { job, generic: true, links }) => {
            commands::generic_rules(&job, &links.links())
        }
        Some(Command::Rules { job, generic: false, links }) => {
            commands::fitted_rules(config, &job, &links.links())
        }
        Some(Command::Schema) => commands::schema(),
        Some(Command::Kinds { kind }) => commands::kinds(kind.as_deref()),
    };
    ExitCode::from(code)
}

/// Parses the arguments, and refuses what clap alone would accept. Also returns whether `--config` was
/// among them; a variable does not count.
fn parse() -> Result<(Cli, bool), clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let cli = Cli::from_arg_matches(&matches)?;
    let listen_given = matches.value_source("listen") == Some(ValueSource::CommandLine);
    if listen_given && !matches!(cli.command, None | Some(Command::Serve(_))) {
        let message = "--listen belongs to `serve` alone";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
    }
    // A global argument is known to the command it was given to.
    let mut level = Some(&matches);
    let mut config_by_flag = false;
    while let Some(matches) = level {
        config_by_flag |= matches.value_source("config") == Some(ValueSource::CommandLine);
        level = matches.subcommand().map(|(_, matches)| matches);
    }
    Ok((cli, config_by_flag))
}

/// `None` for an empty variable, which counts as unset.
type Listen = Option<SocketAddr>;

fn address(text: &str) -> Result<Listen, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse().map(Some);
    address.map_err(|_| "not an address; it would be IP:PORT, such as 127.0.0.1:8080".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_takes_the_short_form_of_config() {
        let mut program = Cli::command();
        program.build();
        for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
            let config = command.get_arguments().find(|argument| argument.get_id() == "config");
            let short = config.and_then(clap::Arg::get_short);
            assert_eq!(short, Some('c'), "{}", command.get_name());
        }
    }
}
