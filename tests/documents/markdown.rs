//! The pages of the reference in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vitalsign::Measurement;
use vitalsign::checks::POOL_MEASUREMENTS;
use vitalsign::config::{KindEntry, OptionEntry, Reference, Table, TypeEntry};
use vitalsign::metrics::{METRICS, Metric};
use vitalsign::state::BUCKETS;

/// `docs/CONFIGURATION.md`
pub(super) fn configuration(reference: &Reference) -> String {
    let mut page = format!("# Configuration\n\n{}\n{}", note(), include_str!("configuration.md"));
    page.push_str("\n## Types\n\n| type | how it is written |\n| --- | --- |\n");
    for TypeEntry { name, text } in &reference.types {
        // Its options are on the page of the kinds, which use them.
        let more = if options_of(reference, name).is_empty() {
            String::new()
        } else {
            format!(" Its options: [{name}](KINDS.md#the-options-of-{}).", name.replace(' ', "-"))
        };
        let _ = writeln!(page, "| {name} | {}{more} |", cell(text));
    }
    for section in &reference.sections {
        let head = if section.repeated {
            format!("[[{}]]", section.name)
        } else {
            format!("[{}]", section.name)
        };
        let _ = writeln!(page, "\n## `{head}`\n\n{}\n", section.text);
        table(&section.options, &mut page);
    }
    let common = &reference.common;
    let text = "A check also has the options of its kind: see [the kinds](KINDS.md).";
    let _ = writeln!(page, "\n## `[checks.{}]`\n\n{} {text}\n", common.name, common.text);
    table(&common.options, &mut page);
    page
}

/// `docs/KINDS.md`
pub(super) fn kinds(reference: &Reference) -> String {
    let mut page = format!("# Kinds of checks\n\n{}\n{}", note(), include_str!("kinds.md"));
    page.push_str("\n| kind | what it checks |\n| --- | --- |\n");
    for KindEntry { summary, table, .. } in &reference.kinds {
        let name = &table.name;
        let _ = writeln!(page, "| [`{name}`](#{name}) | {} |", cell(summary));
    }
    for kind in &reference.kinds {
        let Table { name, text, options, .. } = &kind.table;
        let _ = writeln!(page, "\n## {name}\n\n{text}\n");
        let own: Vec<OptionEntry> =
            options.iter().filter(|option| option.part_of.is_none()).cloned().collect();
        table(&own, &mut page);
        if !kind.measurements.is_empty() {
            page.push_str("\nIts measurements:\n\n");
        }
        for Measurement { name, help } in kind.measurements {
            let _ = writeln!(page, "- `{name}`: {help}");
        }
    }
    for TypeEntry { name, text } in &reference.types {
        let options = options_of(reference, name);
        if !options.is_empty() {
            let _ = writeln!(page, "\n## The options of {name}\n\n{text}\n");
            table(&options, &mut page);
        }
    }
    page
}

/// `docs/METRICS.md`
pub(super) fn metrics(reference: &Reference) -> String {
    let mut page = format!("# Metrics\n\n{}\n{}", note(), include_str!("metrics.md"));
    let bounds: Vec<String> = BUCKETS.iter().map(ToString::to_string).collect();
    let _ = writeln!(page, "\nThe buckets of every duration, in seconds: {}.", bounds.join(", "));
    for (title, prefixes) in GROUPS {
        let _ = writeln!(page, "\n## {title}\n\n{HEAD}");
        for metric in METRICS.iter().filter(|metric| group(metric) == *prefixes) {
            let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            let kind = metric.kind.as_str();
            row(metric.name, kind, metric.unit(), &labels.join(", "), metric.help, &mut page);
        }
    }
    page.push_str("\n## Metrics of single kinds\n\n");
    page.push_str("Additional metrics of some kinds, with the labels `check` and `kind`.\n\n");
    figures(reference, &mut page);
    page
}

/// The parts of the metrics page by the beginnings of names; the one without takes what is left.
const GROUPS: &[(&str, &[&str])] = &[
    ("Checks", &["health_check_"]),
    ("The service", &[]),
    ("Configuration", &["health_config_"]),
    ("HTTP server", &["http_server_", "health_http_"]),
    ("Traces", &["otel_sdk_"]),
    ("Process", &["process_"]),
    ("Tokio runtimes", &["tokio_runtime_"]),
];

fn group(metric: &Metric) -> &'static [&'static str] {
    let begins = |prefixes: &&[&str]| prefixes.iter().any(|p| metric.name.starts_with(p));
    GROUPS.iter().map(|(_, prefixes)| *prefixes).find(begins).unwrap_or_default()
}

const HEAD: &str = "| metric | type | unit | labels | what |\n| --- | --- | --- | --- | --- |";

fn figures(reference: &Reference, page: &mut String) {
    let mut reporters: BTreeMap<&Measurement, Vec<String>> = BTreeMap::new();
    for KindEntry { table, measurements, .. } in &reference.kinds {
        for measurement in *measurements {
            let link = format!("[`{0}`](KINDS.md#{0})", table.name);
            reporters.entry(measurement).or_default().push(link);
        }
    }
    for measurement in POOL_MEASUREMENTS {
        let pool = "checks of an application's own pool, such as `checks::postgres::pool`";
        reporters.entry(measurement).or_default().push(pool.to_owned());
    }
    page.push_str(
        "| metric | type | unit | reported by | what |\n| --- | --- | --- | --- | --- |\n",
    );
    for (Measurement { name, help }, reporters) in reporters {
        let unit = ["seconds", "bytes", "ratio"].into_iter().find(|unit| name.ends_with(unit));
        row(&format!("health_check_{name}"), "gauge", unit, &reporters.join(", "), help, page);
    }
}

fn row(
    name: &str,
    kind: &str,
    unit: Option<&str>,
    labels_or_kinds: &str,
    what: &str,
    page: &mut String,
) {
    let unit = unit.unwrap_or_default();
    let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {labels_or_kinds} | {} |", cell(what));
}

/// The options of the type called `name`, by their paths within it.
fn options_of(reference: &Reference, name: &str) -> Vec<OptionEntry> {
    let all = reference.kinds.iter().map(|kind| &kind.table.options);
    let of_type = |option: &&OptionEntry| option.part_of.as_deref() == Some(name);
    let Some(options) = all.into_iter().find(|options| options.iter().any(|o| of_type(&o))) else {
        return Vec::new();
    };
    let within = |option: &OptionEntry| OptionEntry {
        path: option.path.rsplit('.').next().unwrap_or_default().to_owned(),
        ..option.clone()
    };
    options.iter().filter(of_type).map(within).collect()
}

fn table(options: &[OptionEntry], page: &mut String) {
    page.push_str("| option | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for option in options {
        let default = match (&option.default, option.required) {
            (_, true) => "required",
            (Some(default), false) => default,
            (None, false) => "none",
        };
        let mut text = option.text.clone();
        for choice in option.choices.iter().filter(|choice| !choice.text.is_empty()) {
            let _ = write!(text, " `{}`: {}", choice.name, choice.text);
        }
        let (path, type_name, text) = (&option.path, cell(&option.type_name), cell(&text));
        let _ = writeln!(page, "| `{path}` | {type_name} | {} | {text} |", cell(default));
    }
}

/// A text that stays within its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn note() -> String {
    format!("<!-- Generated from the sources; to renew it: {} -->\n", super::RENEW)
}
