//! Rules for the sections that the types of their options cannot express.

use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use url::Url;

use super::address::Listen;
use super::diagnostics::Report;
use super::names;
use super::sections::{
    AlertmanagerSection, HistorySection, IncludeSection, ServerSection, ServiceSection,
    TelemetrySection,
};
use super::tree::Node;
use super::values::{SHORT_TOKEN, Secret};
use super::web_url::{has_credentials, names_several_hosts, web_url};
use super::{defaults, settings};
use crate::model::Details;

const CREDENTIALS_IN_LINK: &str =
    "everybody who sees a link sees the credentials in it; leave them out";

const CREDENTIALS_OF_COLLECTOR: &str = "holds credentials; put them in OTEL_EXPORTER_OTLP_HEADERS";

pub(super) fn service(section: &ServiceSection, node: &Node, report: &mut Report) {
    let options = [
        ("name", &section.name),
        ("version", &section.version),
        ("environment", &section.environment),
        ("instance", &section.instance),
    ];
    for (key, value) in options {
        if value.as_deref() == Some("") {
            report.option(node, key, "the text is empty; write some, or leave the option out");
        }
    }
}

pub(super) fn server(
    section: &ServerSection,
    flag: Option<Listen>,
    node: &Node,
    report: &mut Report,
) {
    for (key, token) in [("token", &section.token), ("metrics_token", &section.metrics_token)] {
        token_in_a_header(key, token.as_ref(), node, report);
    }
    if section.details == Some(Details::Always) && !settings::listen(section, flag).is_loopback() {
        let message = "\"always\" would tell causes to other hosts; write \"auto\" with a `token`, \
                       or listen on a loopback address";
        report.option(node, "details", message);
    }
    let drain = section.drain_delay.map_or(defaults::DRAIN_DELAY, |period| period.0);
    let shutdown = section.shutdown_timeout.map_or(defaults::SHUTDOWN_TIMEOUT, |period| period.0);
    if report.has(node, "drain_delay") || report.has(node, "shutdown_timeout") {
        return;
    }
    if drain >= shutdown {
        let drain = humantime::format_duration(drain);
        let shutdown = humantime::format_duration(shutdown);
        if section.drain_delay.is_some() {
            let message = format!(
                "{drain} is not shorter than `shutdown_timeout`; write less than {shutdown}"
            );
            report.option(node, "drain_delay", message);
        } else {
            let message = format!("not longer than `drain_delay`; write more than {drain}");
            report.option(node, "shutdown_timeout", message);
        }
    }
}

pub(super) fn telemetry(section: &TelemetrySection, node: &Node, report: &mut Report) {
    match section.traces_endpoint.as_ref().map(|url| web_url(url.expose())) {
        Some(Err(wrong)) => report.option(node, "traces_endpoint", wrong),
        Some(Ok(url)) if has_credentials(&url) => {
            report.option(node, "traces_endpoint", CREDENTIALS_OF_COLLECTOR);
        }
        _ => {}
    }
    if section.keep_healthy_traces.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        report.option(node, "keep_healthy_traces", "out of range; write a share from 0 to 1");
    }
    if let Some(wrong) = section.trace_url.as_ref().and_then(|url| wrong_with_link(url)) {
        report.option(node, "trace_url", wrong);
    }
}

/// What is wrong with a link to a trace, if anything.
fn wrong_with_link(text: &str) -> Option<&'static str> {
    match web_url(text) {
        Ok(url) if has_credentials(&url) => Some(CREDENTIALS_IN_LINK),
        Ok(_) if text.contains("{trace_id}") && text.trim() == text => None,
        Err(wrong) if names_several_hosts(text) => Some(wrong),
        _ => Some("no link to a trace; write an http or https URL with {trace_id} in it"),
    }
}

pub(super) fn include(section: &IncludeSection, node: &Node, report: &mut Report) {
    no_duplicates(&section.files, "files", node, report);
}

pub(super) fn history(section: &HistorySection, node: &Node, report: &mut Report) {
    let Some(url) = section.url.as_ref().map(Secret::expose) else { return };
    let is_place = match url.split_once(':') {
        Some(("sqlite", path)) => !path.trim_start_matches("//").is_empty(),
        // Several hosts are read, or refused, when the store is opened.
        Some((scheme, rest)) if is_postgres(scheme) => {
            rest.contains(',') || Url::parse(url).is_ok()
        }
        _ => url == "off",
    };
    if !is_place {
        let message = "no place to keep a history; write \"sqlite:PATH\", \"postgres://…\" or \
                       \"off\"";
        report.option(node, "url", message);
    }
}

/// No client could send other characters in a header, and everybody could send an empty token.
fn token_in_a_header(key: &str, token: Option<&Secret>, node: &Node, report: &mut Report) {
    let sendable = |token: &Secret| {
        !token.expose().is_empty() && token.expose().bytes().all(|b| b.is_ascii_graphic())
    };
    let Some(token) = token else { return };
    if !sendable(token) {
        let message =
            "no token that a header can carry; write visible ASCII characters without spaces";
        report.option(node, key, message);
    } else if token.is_too_short() {
        report.option(node, key, SHORT_TOKEN);
    }
}

/// Whether this is a scheme of PostgreSQL, with or without the suffix of a driver.
fn is_postgres(scheme: &str) -> bool {
    let family = scheme.split_once('+').map_or(scheme, |(family, _driver)| family);
    matches!(family, "postgres" | "postgresql" | "postgis" | "pgsql")
}

pub(super) fn alertmanager(section: &AlertmanagerSection, node: &Node, report: &mut Report) {
    if section.urls.is_empty() {
        report.option(node, "urls", "no URL is listed; write at least one");
    }
    for (index, url) in section.urls.iter().enumerate() {
        if let Err(wrong) = web_url(url.expose()) {
            report.option(node, &format!("urls[{index}]"), wrong);
        }
    }
    let urls: Vec<String> = section.urls.iter().map(|url| url.expose().to_owned()).collect();
    no_duplicates(&urls, "urls", node, report);
    token_in_a_header("token", section.token.as_ref(), node, report);
    for (name, value) in &section.headers {
        let key = format!("headers.{name}");
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => {
                report.option(node, &key, "this is no header name; write letters, digits and -");
            }
            Ok(name) if name == AUTHORIZATION && section.token.is_some() => {
                report.option(node, &key, "credentials are in `token` already; give them once");
            }
            Ok(name) if name == CONTENT_TYPE || name == CONTENT_LENGTH || name == HOST => {
                let message = "the sender itself sets this header; leave it out";
                report.option(node, &key, message);
            }
            Ok(_) if HeaderValue::from_str(value.expose()).is_err() => {
                let message = "the value holds a character that no header can; write it as ASCII";
                report.option(node, &key, message);
            }
            Ok(_) => {}
        }
    }
}

/// Reports a check's name that no check has; `known` are sorted.
pub(super) fn unknown_check(
    name: &str,
    path: &str,
    known: &[&str],
    node: &Node,
    report: &mut Report,
) {
    if known.binary_search(&name).is_ok() {
        return;
    }
    let (found, _) = node.locate(path);
    if found.poisoned {
        return;
    }
    let (what, advice) = if found.hidden {
        ("no check has this name".to_owned(), names::list("checks", known))
    } else {
        (format!("no check is named `{name}`"), names::advice(name, known, "checks"))
    };
    report.absent(found.at, found.path.clone(), format!("{what}; {advice}"));
}

/// Reports items that are in a list more than once.
pub(super) fn no_duplicates<T: PartialEq>(
    items: &[T],
    key: &str,
    node: &Node,
    report: &mut Report,
) {
    for (index, item) in items.iter().enumerate() {
        if items[..index].contains(item) {
            report.option(node, &format!("{key}[{index}]"), "listed twice; list it once");
        }
    }
}
