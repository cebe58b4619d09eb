//! The targets of log lines are public names: every line has one, and the documents list them.

use vitalsign::log_targets;

use crate::layers::rust_files;

#[test]
fn every_log_line_names_its_target() {
    let macros = ["info!(", "warn!(", "error!(", "debug!(", "trace!(", "event!("];
    let mut lines = 0;
    for (file, text) in rust_files("src") {
        for name in macros.map(|name| format!("tracing::{name}")) {
            for (at, _) in text.match_indices(&name) {
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                if text[line..at].trim_start().starts_with("//") {
                    continue;
                }
                lines += 1;
                let arguments = text[at + name.len()..].trim_start();
                assert!(
                    arguments.starts_with("target: log_targets::"),
                    "src/{}: a log line without one of the public targets: {:.60}",
                    file.display(),
                    &text[at..]
                );
            }
        }
    }
    assert!(lines > 30, "only {lines} lines were found: has the form of the macros changed?");
}

#[test]
fn the_documents_list_every_target() {
    let page = include_str!("../../docs/TRACING.md");
    for target in log_targets::ALL {
        assert!(page.contains(&format!("| `{target}` |")), "{target} is not in docs/TRACING.md");
    }
    let all = std::collections::BTreeSet::from(log_targets::ALL);
    assert_eq!(Vec::from_iter(all), log_targets::ALL, "sorted, each once");
}
