//! What Prometheus' own tool says of the rules, and what fires by them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use vitalsign::rules::ALERTS;

use super::committed::FOLDER;
use crate::support::prometheus::installed;

/// The files with unit tests of the rules.
fn tests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(FOLDER).join("tests")).expect("the tests");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there are no tests");
    files
}

/// Runs promtool and returns what it says, or `None` where it is not installed.
///
/// # Panics
/// When it objects.
pub(super) fn promtool(arguments: &[&str], files: &[PathBuf]) -> Option<String> {
    let mut promtool = Command::new(installed("promtool")?);
    let output = promtool.args(arguments).args(files).current_dir(FOLDER).output();
    let output = output.expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {} objects:\n{said}", arguments.join(" "));
    Some(said)
}

#[test]
fn promtool_finds_nothing_to_object_to_in_the_rules() {
    let files = ["recording.yml", "alerts.yml"].map(PathBuf::from);
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &files);
}

#[test]
fn promtool_finds_nothing_to_object_to_in_the_configuration() {
    promtool(&["check", "config", "--lint=all", "--lint-fatal"], &["prometheus.yml".into()]);
}

#[test]
fn what_should_fire_fires_and_what_should_not_stays_silent() {
    promtool(&["test", "rules"], &tests());
}

#[test]
fn every_alert_is_seen_to_fire_and_to_stay_silent() {
    let mut seen: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for file in tests() {
        let text = std::fs::read_to_string(file).expect("a test");
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let Some(name) = line.strip_prefix("alertname: ") else { continue };
            let silent = match lines.next() {
                Some("exp_alerts: []") => true,
                Some("exp_alerts:") => false,
                other => panic!("{name}: what is expected stands at {other:?}"),
            };
            seen.entry(name.to_owned()).or_default()[usize::from(silent)] = true;
        }
    }
    for kind in ALERTS {
        let [fires, silent] = seen.remove(kind.name).unwrap_or_default();
        assert!(fires, "{} is never seen to fire", kind.name);
        assert!(silent, "{} is never seen to stay silent", kind.name);
    }
    assert!(seen.is_empty(), "there is no such alert: {seen:?}");
}
