//! `vitalsign incidents`: when checks of a running service were not up, for people.
//!
//! Exit codes: 0 when the service has answered, 2 for a check that neither is there nor was, 74 when the
//! service does not answer or keeps no history.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::client::{Target, block_on, duration};
use super::print;
use super::remote::RemoteArgs;
use super::terminal::{Terminal, plain};
use crate::exit::{IO, USAGE, fail};

/// Incidents of one page, the most that a service gives at once.
const PAGE: &str = "500";

/// Pages that are asked for at most: what a terminal cannot show is of no use there.
const PAGES: usize = 200;

/// The arguments of `vitalsign incidents`.
#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    /// How far back: those that had not ended by then
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    since: Duration,
    /// Those of this check alone
    #[arg(long, value_name = "NAME")]
    check: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// `vitalsign incidents`
pub(crate) fn incidents(
    args: &IncidentsArgs,
    config: Option<PathBuf>,
    listen: Option<SocketAddr>,
) -> u8 {
    let found = match ask(args, config, listen) {
        Ok(found) => found,
        Err(code) => return code,
    };
    if args.remote.json {
        return print(&format!("{}\n", json!({ "incidents": found, "next": null })));
    }
    print(&table(&found, args, &Terminal::new()))
}

fn ask(
    args: &IncidentsArgs,
    config: Option<PathBuf>,
    listen: Option<SocketAddr>,
) -> Result<Vec<Value>, u8> {
    if let Some(check) = args.check.as_deref().filter(|check| !vitalsign::is_check_name(check)) {
        return Err(fail(USAGE, &format!("`{check}` is no name of a check")));
    }
    let target = args.remote.target(config, listen)?;
    block_on(async move {
        let found = pages(args, &target).await?;
        if let Some(check) = args.check.as_deref().filter(|_| found.is_empty()) {
            let known = target.document(&target.route(&format!("status/{check}"))?).await?;
            if known.is_none() {
                return Err(fail(USAGE, &format!("there is no check `{check}`")));
            }
        }
        Ok(found)
    })?
}

/// The incidents of all pages, newest first.
async fn pages(args: &IncidentsArgs, target: &Target<'_>) -> Result<Vec<Value>, u8> {
    let back = SignedDuration::try_from(args.since).ok();
    let from = back.and_then(|back| Timestamp::now().checked_sub(back).ok());
    let from = from.unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH).to_string();
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let mut url = target.route("status/incidents")?;
        url.query_pairs_mut().append_pair("from", &from).append_pair("limit", PAGE);
        if let Some(check) = &args.check {
            url.query_pairs_mut().append_pair("check", check);
        }
        if let Some(after) = &after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let Some(mut page) = target.document(&url).await? else {
            return Err(fail(IO, "the service keeps no history"));
        };
        if let Value::Array(incidents) = page["incidents"].take() {
            found.extend(incidents);
        }
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}

/// A line an incident, newest first.
fn table(found: &[Value], args: &IncidentsArgs, terminal: &Terminal) -> String {
    if found.is_empty() {
        let of = args.check.as_ref().map_or_else(String::new, |check| format!(" of {check}"));
        let since = humantime::format_duration(args.since);
        return format!("no incidents{of} in the last {since}\n");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows: Vec<[String; 6]> = found
        .iter()
        .map(|incident| {
            let (start, end) = (text(&incident["start"]), incident["end"].as_str());
            let status = incident["status"].as_str().unwrap_or("not up");
            let cause = [&incident["reason"], &incident["message"]].map(text);
            let cause: Vec<&str> =
                cause.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            [
                plain(status),
                plain(&text(&incident["check"])),
                terminal.time(&start),
                end.map_or_else(|| "ongoing".to_owned(), |end| terminal.time(end)),
                terminal.lasted(&start, end),
                plain(&cause.join(": ")),
            ]
        })
        .collect();
    let titles = ["STATUS", "CHECK", "START", "END", "LASTED"];
    let mut widths = titles.map(|title| title.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [status, check, start, end, lasted] = widths;
    let mut out = format!(
        "{:status$}  {:check$}  {:start$}  {:end$}  {:>lasted$}  CAUSE\n",
        "STATUS", "CHECK", "START", "END", "LASTED"
    );
    for [of, name, began, ended, took, cause] in &rows {
        let line = format!(
            "{}  {name:check$}  {began:start$}  {ended:end$}  {took:>lasted$}  {cause}",
            terminal.status(of, status)
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
