//! The commands that print what a configuration may hold: `schema`, `kinds`.

use std::fmt::Write as _;

use vitalsign::checks::KINDS;
use vitalsign::config::{self, KindEntry, OptionEntry, Reference};

use super::print;
use crate::exit::{USAGE, fail};

/// Longest line of the text that is printed.
const WIDTH: usize = 90;

/// `vitalsign schema`
pub(crate) fn schema() -> u8 {
    print(&format!("{:#}\n", config::schema(KINDS)))
}

/// `vitalsign kinds`
pub(crate) fn kinds(kind: Option<&str>) -> u8 {
    let reference = Reference::of(KINDS);
    let Some(name) = kind else { return print(&list(&reference)) };
    match reference.kind(name) {
        Ok(kind) => print(&describe(&reference, kind)),
        Err(error) => fail(USAGE, &error.to_string()),
    }
}

/// A line a kind.
fn list(reference: &Reference) -> String {
    let names = reference.kinds.iter().map(|kind| kind.table.name.len());
    let width = names.max().unwrap_or_default();
    let mut text = String::new();
    for kind in &reference.kinds {
        let _ = writeln!(text, "{:width$}  {}", kind.table.name, kind.summary);
    }
    text
}

/// Everything on one kind.
fn describe(reference: &Reference, kind: &KindEntry) -> String {
    let mut text = format!("{}: {}\n", kind.table.name, kind.summary);
    if !kind.table.text.is_empty() {
        text.push('\n');
        wrap(&kind.table.text, 0, &mut text);
    }
    text.push_str("\nOptions:\n");
    for option in &kind.table.options {
        describe_option(option, &mut text);
    }
    let own = &kind.table.options;
    let named = |name: &str| own.iter().any(|option| mentions(&option.type_name, name));
    let types = reference.types.iter().filter(|entry| named(&entry.name));
    let types: Vec<_> = types.collect();
    if !types.is_empty() {
        text.push_str("\nTypes:\n");
    }
    for entry in types {
        wrap(&format!("{}: {}", entry.name, entry.text), 2, &mut text);
    }
    if !kind.measurements.is_empty() {
        text.push_str("\nMeasurements:\n");
    }
    for measurement in kind.measurements {
        wrap(&format!("{}: {}", measurement.name, measurement.help), 2, &mut text);
    }
    let common: Vec<&str> = reference.common.options.iter().map(|o| &*o.path).collect();
    text.push_str("\nEvery check also takes:\n");
    wrap(&common.join(", "), 2, &mut text);
    text
}

fn describe_option(option: &OptionEntry, text: &mut String) {
    let must = match (&option.default, option.required, option.path.rsplit_once('.')) {
        (_, true, None) => "; required".to_owned(),
        (_, true, Some((table, _))) => format!("; required in {table}"),
        (Some(default), false, _) => format!("; default {}", default.replace('`', "")),
        (None, false, _) => String::new(),
    };
    let _ = writeln!(text, "  {}: {}{must}", option.path, option.type_name);
    wrap(&option.text, 6, text);
    for choice in option.choices.iter().filter(|choice| !choice.text.is_empty()) {
        wrap(&format!("`{}`: {}", choice.name, choice.text), 6, text);
    }
}

/// Whether the name of one type is, or holds, another's.
fn mentions(type_name: &str, name: &str) -> bool {
    type_name == name || type_name.strip_suffix(name).is_some_and(|rest| rest.ends_with(" of "))
}

/// Appends `words` in lines of at most [`WIDTH`], where one word is not longer, each behind
/// `indent` spaces.
fn wrap(words: &str, indent: usize, text: &mut String) {
    let mut column = 0;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length <= WIDTH {
            text.push(' ');
            column += 1;
        } else {
            if column > 0 {
                text.push('\n');
            }
            let _ = write!(text, "{:indent$}", "");
            column = indent;
        }
        text.push_str(word);
        column += length;
    }
    if column > 0 {
        text.push('\n');
    }
}
