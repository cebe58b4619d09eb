//! The commands that do one thing and end: `check`, `validate`, `probe`, `status`, `incidents`,
//! `backup`, `rules`, `schema`, `kinds`.

mod backup;
mod client;
mod incidents;
mod probe;
mod reference;
mod remote;
mod rules;
mod status;
mod terminal;
mod validate;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::sync::mpsc;
use vitalsign::config::Loaded;
use vitalsign::{CheckInfo, Declared, Event, Health, Sink, Snapshot, Status};

use crate::exit::{CONFIGURATION, FAILED, IO, OK, USAGE, fail};
use crate::reload::Source;
use crate::serve;

pub(crate) use backup::backup_history;
pub(crate) use incidents::{IncidentsArgs, incidents};
pub(crate) use probe::{ProbeArgs, probe};
pub(crate) use reference::{kinds, schema};
pub(crate) use rules::{fitted_rules, generic_rules};
pub(crate) use status::{StatusArgs, status};
pub(crate) use validate::validate;

use terminal::colours;

/// How `check` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line a check.
    Text,
    /// The structured status document.
    Json,
}

/// `vitalsign check`
pub(crate) fn check(config: Option<PathBuf>, names: &[String], format: Format) -> u8 {
    let loaded = match serve::load(&Source::new(config, None)) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let checks = match select(&loaded, names) {
        Ok(checks) => checks,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(IO, &format!("cannot start a runtime: {error}")),
    };
    let snapshot = match runtime.block_on(run_once(&loaded, checks)) {
        Ok(snapshot) => snapshot,
        Err(error) => return fail(CONFIGURATION, &error.to_string()),
    };
    // A check that blocks its thread must not keep the command from ending.
    runtime.shutdown_background();
    let failed = snapshot.checks.iter().any(|check| {
        let counts = !names.is_empty() || !check.info.gates.is_empty();
        counts && !matches!(check.status, Status::Up | Status::Degraded)
    });
    let written = match format {
        Format::Json => print(&(snapshot.to_json() + "\n")),
        Format::Text => print(&text(&snapshot, names.is_empty(), failed, colours())),
    };
    match (written, failed) {
        (OK, true) => FAILED,
        (code, _) => code,
    }
}

type Named = (String, Declared);

/// The checks to run: all, or those that were named.
fn select(loaded: &Loaded, names: &[String]) -> Result<Vec<Named>, u8> {
    let known: BTreeSet<&str> = loaded.checks.iter().map(|c| &*c.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
        let disabled = loaded.disabled.iter().any(|d| *d == **name);
        let message = if disabled {
            format!("check `{name}` is disabled; set `enabled = true` to run it")
        } else {
            let all = known.iter().copied().collect::<Vec<_>>().join(", ");
            format!("there is no check `{name}`; there are: {all}")
        };
        return Err(fail(USAGE, &message));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let chosen = loaded.checks.iter().filter(|c| wanted(&c.name));
    Ok(chosen
        .map(|c| {
            let declared = c.declared.clone();
            // What it depends on may not be among those that were named.
            let declared = if names.is_empty() { declared } else { declared.independent() };
            (c.name.clone(), declared)
        })
        .collect())
}

/// Reports the name of each check whose run has ended.
struct Ended(mpsc::UnboundedSender<Arc<CheckInfo>>);

impl Sink for Ended {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        if matches!(event, Event::Run { .. }) {
            // One message a run, and the command ends after the first of each check.
            let _ = self.0.send(Arc::clone(info));
        }
    }
}

async fn run_once(loaded: &Loaded, checks: Vec<Named>) -> Result<Snapshot, vitalsign::BuildError> {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let mut waiting: BTreeSet<String> = checks.iter().map(|(name, _)| name.clone()).collect();
    let all = waiting.len();
    let mut builder =
        serve::describe(loaded).max_concurrent_runs(all.max(1)).sink(Arc::new(Ended(sender)));
    for (name, declared) in checks {
        builder = builder.check(name, declared);
    }
    let health: Health = builder.build()?;
    let progress = std::io::stderr().is_terminal();
    while !waiting.is_empty() {
        let Some(info) = ended.recv().await else { break };
        waiting.remove(&*info.name);
        if progress {
            eprint!("\r\x1b[K{} of {all} checks", all - waiting.len());
        }
    }
    if progress {
        eprint!("\r\x1b[K");
    }
    Ok(health.state().snapshot())
}

/// The verbose form of the probes, with each cause in full below its line.
fn text(snapshot: &Snapshot, everything: bool, failed: bool, colours: bool) -> String {
    let mut text = String::new();
    for check in &snapshot.checks {
        let line = check.verbose_line();
        let colour = match check.status {
            Status::Up => "32",
            Status::Degraded => "33",
            Status::Down => "31",
            Status::Unknown => "35",
        };
        let _ = if colours {
            writeln!(text, "\x1b[{colour}m{line}\x1b[0m")
        } else {
            writeln!(text, "{line}")
        };
        let run = check.last_run.as_deref().filter(|r| r.reason.is_some());
        if let Some(message) = run.and_then(|r| r.message.as_deref()) {
            let _ = writeln!(text, "    {message}");
        }
    }
    let what = if everything { "ready check" } else { "check" };
    let _ = writeln!(text, "{what} {}", if failed { "failed" } else { "passed" });
    text
}

/// Prints to standard output; a closed pipe does not count as a failure.
fn print(text: &str) -> u8 {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            fail(IO, &format!("cannot write the result: {error}"))
        }
        _ => OK,
    }
}
