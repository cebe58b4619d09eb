//! `vitalsign validate`: whether a configuration is valid, and what was read.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use vitalsign::Window;
use vitalsign::config::{ExternalValue, Loaded, Origin};

use super::print;
use crate::exit::{USAGE, fail};
use crate::reload::Source;
use crate::serve;

/// Reads the configuration that was named, by `file` or by the option, and prints what is in it.
pub(crate) fn validate(file: Option<PathBuf>, config: Option<PathBuf>, by_flag: bool) -> u8 {
    if file.is_some() && by_flag {
        return fail(
            USAGE,
            "the file is named twice; name it once, after `validate` or by --config",
        );
    }
    match serve::load(&Source::new(file.or(config), None)) {
        Ok(loaded) => print(&summary(&loaded, SystemTime::now())),
        Err(code) => code,
    }
}

/// A line for each thing that was read, without any value of a secret.
fn summary(loaded: &Loaded, now: SystemTime) -> String {
    let (checks, disabled) = (loaded.checks.len(), loaded.disabled.len());
    let noun = if checks == 1 { "check" } else { "checks" };
    let mut text = match disabled {
        0 => format!("valid: {checks} {noun}\n"),
        _ => format!("valid: {checks} {noun}, {disabled} more disabled\n"),
    };
    for (index, file) in loaded.files.iter().enumerate() {
        let _ = writeln!(text, "{}: {file}", if index == 0 { "file" } else { "included" });
    }
    for ExternalValue { option, origin, .. } in &loaded.external {
        let _ = match origin {
            Origin::Variable(name) => writeln!(text, "variable: {name}, for {option}"),
            Origin::File(path) => writeln!(text, "secret: {}, for {option}", path.display()),
            _ => Ok(()),
        };
    }
    for window in &loaded.settings.maintenance {
        let _ = writeln!(text, "maintenance: {}", describe(window, now));
    }
    text
}

/// `orders-db, opens 2026-12-05 23:00 Europe/Berlin, in 4 days`
fn describe(window: &Window, now: SystemTime) -> String {
    let checks = window.checks().map(|names| names.collect::<Vec<_>>().join(", "));
    let checks = checks.unwrap_or_else(|| "every check".to_owned());
    let (open, change) = (window.is_active(now), window.next_change(now));
    let when = match (open, change) {
        (false, Some(at)) => format!("opens {}", moment(window, at, now)),
        (true, Some(at)) => format!("is open until {}", moment(window, at, now)),
        (true, None) => "is always open".to_owned(),
        (false, None) => "is over".to_owned(),
    };
    format!("{checks}, {when}")
}

fn moment(window: &Window, at: SystemTime, now: SystemTime) -> String {
    let zone = window.time_zone().unwrap_or("UTC");
    let local = Timestamp::try_from(at).ok().and_then(|at| at.in_tz(zone).ok());
    let shown = local.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    let minutes = at.duration_since(now).unwrap_or(Duration::ZERO).as_secs().div_ceil(60);
    let ahead = match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    };
    format!("{shown} {zone}, in {ahead}")
}
