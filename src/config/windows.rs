//! Reads `[[maintenance]]` into windows, and reports every error at its position.

use super::defaults::TIMEZONE;
use super::diagnostics::Report;
use super::rules::{no_duplicates, unknown_check};
use super::sections::MaintenanceSection;
use super::tree::Node;
use crate::engine;
use crate::engine::{Day, Window, WindowError};

/// The window that `section` describes, or `None` if it has errors, which are reported.
/// `known_checks` are sorted.
pub(super) fn window(
    section: &MaintenanceSection,
    known_checks: &[&str],
    node: &Node,
    report: &mut Report,
) -> Option<Window> {
    if let Some(names) = &section.checks {
        if names.is_empty() {
            report.option(node, "checks", "no check is listed; list some, or leave the option out");
        }
        no_duplicates(names, "checks", node, report);
        for (index, name) in names.iter().enumerate() {
            unknown_check(name, &format!("checks[{index}]"), known_checks, node, report);
        }
    }
    if let Some(days) = &section.every {
        if days.is_empty() {
            report.option(node, "every", WindowError::NoDay.to_string());
        }
        no_duplicates(days, "every", node, report);
    }
    let window = if section.from.is_some() || section.until.is_some() {
        single(section, node, report)
    } else {
        recurring(section, node, report)
    }?;
    Some(match &section.checks {
        Some(names) => window.for_checks(names.iter().cloned()),
        None => window,
    })
}

fn single(section: &MaintenanceSection, node: &Node, report: &mut Report) -> Option<Window> {
    let others = [
        ("start", section.start.is_some()),
        ("duration", section.duration.is_some()),
        ("every", section.every.is_some()),
        ("timezone", section.timezone.is_some()),
    ];
    for (key, _) in others.iter().filter(|(_, given)| *given) {
        report.option(node, key, "no part of a single window; leave it out, or `from` and `until`");
    }
    let mut moment = |key: &str, value: Option<&toml::Value>| {
        let Some(value) = value else {
            let message = "missing; a single window needs both `from` and `until`";
            report.absent(node.at, node.path_of(key), message);
            return None;
        };
        let moment = text_of(value).ok_or(WindowError::Moment).and_then(|t| engine::moment(&t));
        right(moment, key, node, report)
    };
    let from = moment("from", section.from.as_ref());
    let until = moment("until", section.until.as_ref());
    right(Window::between(from?, until?), "until", node, report)
}

fn recurring(section: &MaintenanceSection, node: &Node, report: &mut Report) -> Option<Window> {
    for (key, given) in
        [("start", section.start.is_some()), ("duration", section.duration.is_some())]
    {
        if !given {
            let message = "missing; a window needs `start` and `duration`, or `from` and `until`";
            report.absent(node.at, node.path_of(key), message);
        }
    }
    let start = section.start.as_ref().and_then(|value| {
        let start = text_of(value).ok_or(WindowError::Start).and_then(|t| engine::time_of_day(&t));
        right(start, "start", node, report)
    });
    let length = section
        .duration
        .and_then(|period| right(engine::length(period.0), "duration", node, report));
    let zone = section.timezone.as_deref().unwrap_or(TIMEZONE);
    let zone = right(engine::time_zone(zone), "timezone", node, report);
    let days = section.every.as_deref().unwrap_or(&Day::ALL);
    // The caller has reported unknown days.
    let window = Window::recurring(days.iter().copied(), start?, length?, zone?).ok()?;
    if window.is_endless() {
        let message = "it lasts until it opens again, so it never ends; write less, or fewer days";
        let (found, _) = node.locate("duration");
        report.warning(found.at, found.path.clone(), message);
    }
    Some(window)
}

/// The value, or its error at `key`.
fn right<T>(
    value: Result<T, WindowError>,
    key: &str,
    node: &Node,
    report: &mut Report,
) -> Option<T> {
    value.map_err(|error| report.option(node, key, error.to_string())).ok()
}

/// Times may be written as strings or as TOML's own.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}
