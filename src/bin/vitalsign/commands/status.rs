//! `vitalsign status`: what a running service says, for people.
//!
//! Exit codes: 0 when what was asked for is up, 1 when it is anything else, 2 for a check that there is
//! not, 74 when the service does not answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::client::block_on;
use super::print;
use super::remote::RemoteArgs;
use super::terminal::{Terminal, percent, plain, seconds};
use crate::exit::{FAILED, OK, USAGE, fail};

/// The arguments of `vitalsign status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The check to describe; default: the service and a line a check
    #[arg(value_name = "CHECK")]
    check: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// `vitalsign status`
pub(crate) fn status(args: &StatusArgs, config: Option<PathBuf>, listen: Option<SocketAddr>) -> u8 {
    let document = match ask(args, config, listen) {
        Ok(document) => document,
        Err(code) => return code,
    };
    let text = match (&args.check, args.remote.json) {
        (_, true) => format!("{document}\n"),
        (None, false) => overview(&document, &Terminal::new()),
        (Some(check), false) => details(check, &document, &Terminal::new()),
    };
    match print(&text) {
        OK if document["status"] != "up" => FAILED,
        code => code,
    }
}

fn ask(
    args: &StatusArgs,
    config: Option<PathBuf>,
    listen: Option<SocketAddr>,
) -> Result<Value, u8> {
    let target = args.remote.target(config, listen)?;
    block_on(async move {
        let Some(check) = &args.check else {
            let document = target.document(&target.route("status")?).await?;
            let none = || fail(USAGE, "there is no vitalsign at this address");
            return document.ok_or_else(none);
        };
        // A name that is none would be another path.
        if vitalsign::is_check_name(check)
            && let Some(found) = target.document(&target.route(&format!("status/{check}"))?).await?
        {
            return Ok(found);
        }
        let all = target.document(&target.route("status")?).await?;
        let names = all.as_ref().and_then(|all| all["checks"].as_object());
        let names: Vec<&str> = names.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let message = format!("there is no check `{check}`; there are: {}", names.join(", "));
        Err(fail(USAGE, &message))
    })?
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the last run says of a check that is not up: nothing without the right to details.
fn cause(check: &Value) -> String {
    if let Some(name) = check["suppressed_by"].as_str() {
        return format!("because of {}", plain(name));
    }
    let run = &check["last_run"];
    if check["status"] == "up" && run["reason"].is_null() {
        return String::new();
    }
    [&run["reason"], &run["message"]]
        .map(text)
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| plain(part))
        .collect::<Vec<_>>()
        .join(": ")
}

/// The service, and a line a check.
fn overview(document: &Value, terminal: &Terminal) -> String {
    let service = &document["service"];
    let (status, since) = (text(&document["status"]), text(&document["since"]));
    let mut out = format!(
        "{} is {} since {} ({})\n",
        plain(text(&service["name"])),
        terminal.status(status, 0),
        terminal.time(since),
        terminal.lasted(since, None),
    );
    let said = |key: &str| if document[key] == true { "yes" } else { "no" };
    let _ = writeln!(
        out,
        "live {}, ready {}, started {}; version {}, up for {}",
        said("live"),
        said("ready"),
        said("started"),
        plain(text(&service["version"])),
        terminal.lasted(text(&service["started_at"]), None),
    );
    let Some(checks) = document["checks"].as_object().filter(|checks| !checks.is_empty()) else {
        return out + "no checks\n";
    };
    let width = checks.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let _ = writeln!(out, "\n{:9} {:width$} {:>8}  CAUSE", "STATUS", "CHECK", "FOR");
    for (name, check) in checks {
        let maintenance = if check["maintenance"] == true { "in maintenance " } else { "" };
        let line = format!(
            "{} {name:width$} {:>8}  {maintenance}{}",
            terminal.status(text(&check["status"]), 9),
            terminal.lasted(text(&check["since"]), None),
            cause(check),
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Everything on one check.
fn details(name: &str, check: &Value, terminal: &Terminal) -> String {
    let since = text(&check["since"]);
    let mut out = format!(
        "{name} is {} since {} ({})\n",
        terminal.status(text(&check["status"]), 0),
        terminal.time(since),
        terminal.lasted(since, None),
    );
    let mut row = |key: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {key:13} {value}");
        }
    };
    row("kind", plain(text(&check["kind"])));
    row("description", plain(text(&check["description"])));
    row("gates", list(&check["gates"]));
    row("depends on", list(&check["depends_on"]));
    row("suppressed by", plain(text(&check["suppressed_by"])));
    if check["maintenance"] == true {
        row("maintenance", "yes: it gates nothing and raises no alert".to_owned());
    }
    let of = |key: &str| check[key].as_f64().map(seconds).unwrap_or_default();
    row("asked", format!("every {}, at most {}", of("interval_seconds"), of("timeout_seconds")));
    let run = &check["last_run"];
    if let Some(at) = run["at"].as_str() {
        let took = run["duration_seconds"].as_f64().map(seconds).unwrap_or_default();
        let ago = terminal.lasted(at, None);
        row(
            "last run",
            format!("{}, {ago} ago: {} in {took}", terminal.time(at), text(&run["outcome"])),
        );
    }
    row("reason", plain(text(&run["reason"])));
    row("message", plain(text(&run["message"])));
    row("trace", plain(text(&run["trace_id"])));
    if let Some(at) = check["last_success_at"].as_str() {
        row("last success", format!("{}, {} ago", terminal.time(at), terminal.lasted(at, None)));
    }
    if let Some(failures) = check["consecutive_failures"].as_u64().filter(|count| *count > 0) {
        row("failed runs", format!("{failures} in a row"));
    }
    row("availability", availability(&check["availability"]));
    if let Some(left) = check["error_budget_remaining"].as_f64() {
        row("error budget", format!("{} left", percent(left)));
    }
    let measurements = check["measurements"].as_object().into_iter().flatten();
    let measurements: Vec<String> =
        measurements.map(|(name, value)| format!("{} {value}", plain(name))).collect();
    row("measurements", measurements.join(", "));
    out
}

fn list(value: &Value) -> String {
    let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    items.map(plain).collect::<Vec<_>>().join(", ")
}

/// Shares by window, shortest first.
fn availability(value: &Value) -> String {
    let windows = ["1h", "24h", "7d", "30d"].into_iter();
    let shares =
        windows.filter_map(|window| Some(format!("{window} {}", percent(value[window].as_f64()?))));
    shares.collect::<Vec<_>>().join(", ")
}
