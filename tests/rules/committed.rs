//! The rule files, the page of alerts and the runbooks are what the sources say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vitalsign::rules::{ALERTS, Job, RUNBOOKS, Rules};

use crate::support::service::{command, run};

pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/prometheus");
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

/// Says how the committed files are renewed.
const RENEW: &str = "VITALSIGN_RENEW_DOCS=1 cargo test --test main rules::committed";

/// Compares a file with what it should be, or writes it when that is asked for.
fn committed(path: &Path, text: &str) {
    if std::env::var_os("VITALSIGN_RENEW_DOCS").is_some_and(|value| !value.is_empty()) {
        return std::fs::write(path, text).expect("the file can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let line = found.lines().zip(text.lines()).take_while(|(found, wanted)| found == wanted);
    let (line, path) = (line.count() + 1, path.display());
    assert!(found == text, "{path}:{line} is not what the sources say; renew it:\n    {RENEW}");
}

/// What `vitalsign rules --generic` prints, parted into recording rules and alerts by the names of
/// the groups.
pub(super) fn printed() -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let printed = run(command(dir.path(), &["rules", "--generic"]));
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert_eq!(printed.err, "", "{printed:?}");
    let (head, groups) = printed.out.split_once("groups:\n").expect("groups");
    let (mut recording, mut alerts) = (format!("{head}groups:\n"), format!("{head}groups:\n"));
    for group in groups.split_inclusive('\n').fold(Vec::<String>::new(), |mut groups, line| {
        match groups.last_mut() {
            Some(group) if !line.starts_with("  - name: ") => group.push_str(line),
            _ => groups.push(line.to_owned()),
        }
        groups
    }) {
        let is_recording = group.starts_with("  - name: \"vitalsign-recording");
        if is_recording { &mut recording } else { &mut alerts }.push_str(&group);
    }
    (recording, alerts)
}

#[test]
fn the_rule_files_are_what_the_command_prints_for_any_configuration() {
    let (recording, alerts) = printed();
    committed(&Path::new(FOLDER).join("recording.yml"), &recording);
    committed(&Path::new(FOLDER).join("alerts.yml"), &alerts);
}

#[test]
fn the_page_of_alerts_is_what_the_sources_say() {
    let mut page = String::from("# Alerts\n\n");
    let _ = writeln!(page, "<!-- Generated from the sources; to renew it: {RENEW} -->\n");
    page.push_str(include_str!("alerts.md"));
    page.push_str("\n| alert | severity | fires when | for |\n| --- | --- | --- | --- |\n");
    for kind in ALERTS {
        let minutes = kind.pending.as_secs() / 60;
        let (name, severity, condition) = (kind.name, kind.severity.as_str(), kind.condition);
        let _ = writeln!(
            page,
            "| [{name}](runbooks/{name}.md) | {severity} | {condition} | {minutes} min |"
        );
    }
    committed(&Path::new(DOCS).join("ALERTS.md"), &page);
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts: BTreeSet<String> = ALERTS.iter().map(|alert| alert.name.to_owned()).collect();
    let mut pages = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(DOCS).join("runbooks")).expect("the runbooks") {
        let path: PathBuf = entry.expect("a readable entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a page");
        assert!(text.starts_with(&format!("# {name}\n")), "{name} has another title");
        for part in ["What it means", "How to confirm it", "What to do"] {
            assert!(text.contains(&format!("\n## {part}\n")), "{name} lacks `{part}`");
        }
        assert!(text.contains("```promql\n"), "{name} has no query to confirm it");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(".md)")) {
            assert!(alerts.contains(link.0), "{name} leads to {}, which is no alert", link.0);
        }
        pages.insert(name);
    }
    assert_eq!(pages, alerts);
}

#[test]
fn every_alert_says_what_is_wrong_how_bad_it_is_and_where_to_look() {
    let rules = Rules::generic(&Job::default());
    let names: Vec<&str> = rules.alerts().map(|alert| alert.alert).collect();
    assert_eq!(names, ALERTS.iter().map(|kind| kind.name).collect::<Vec<_>>());
    for alert in rules.alerts() {
        let name = alert.alert;
        let severity = alert.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning" | "info")), "{name}: {severity:?}");
        let texts: Vec<&str> = alert.annotations.keys().map(String::as_str).collect();
        assert_eq!(texts, ["dashboard_url", "description", "runbook_url", "summary"], "{name}");
        assert!(alert.annotations.values().all(|text| !text.is_empty()), "{name}");
        assert_eq!(alert.annotations["runbook_url"], format!("{RUNBOOKS}/{name}.md"));
        assert!(!alert.annotations["summary"].ends_with('.'), "{name}");
        assert!(alert.annotations["description"].ends_with('.'), "{name}");
    }
}
