//! The dashboards against Grafana's own types.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{path, texts};
use crate::support::prometheus::left_out;

/// What the compiler says of dashboards; `None` where it is not installed.
///
/// `VITALSIGN_NODE` names the program, `VITALSIGN_NODE_MODULES` a folder that holds
/// `node_modules` with TypeScript and `@grafana/schema`.
fn compiled(edit: impl Fn(String) -> String) -> Option<String> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(node), Some(modules)) =
        (variable("VITALSIGN_NODE"), variable("VITALSIGN_NODE_MODULES"))
    else {
        left_out("Grafana's types are not installed; VITALSIGN_NODE_MODULES names where they are");
        return None;
    };
    // Beside the modules, where the compiler looks for them.
    let folder = tempfile::tempdir_in(&modules).expect("a folder");
    write(folder.path(), edit);
    let compiler = modules.join("node_modules/typescript/bin/tsc");
    let output = Command::new(node).arg(compiler).arg("-p").arg(folder.path()).output();
    let output = output.expect("the compiler runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(
        output.status.success(),
        said.is_empty(),
        "it fails exactly when it says something: {said}"
    );
    Some(said)
}

fn write(folder: &Path, edit: impl Fn(String) -> String) {
    let mut source = include_str!("schema.ts").to_owned();
    for (name, text) in texts() {
        let _ = write!(source, "\nexport const {name}: AnyDashboard = {};\n", text.trim_end());
    }
    std::fs::write(folder.join("check.ts"), edit(source)).expect("the dashboards");
    std::fs::copy(path("tests/dashboards/tsconfig.json"), folder.join("tsconfig.json"))
        .expect("the compiler's settings");
}

#[test]
fn every_dashboard_is_one_by_grafanas_own_types() {
    if let Some(said) = compiled(|source| source) {
        assert_eq!(said, "");
    }
}

#[test]
fn what_grafana_does_not_know_is_found() {
    const MISTAKES: [(&str, &str); 7] = [
        (r#""colorMode": "value""#, r#""colorMode": "valu""#),
        (r#""drawStyle": "line""#, r#""drawStile": "line""#),
        (r#""placement": "bottom""#, r#""placement": "botom""#),
        (r#""graphTooltip": 1"#, r#""graphTooltip": 7"#),
        (r#""cellGap": 1"#, r#""cellGapp": 1"#),
        (r#""rowHeight": 0.8"#, r#""rowHeight": "0.8""#),
        (r#""cellHeight": "sm""#, r#""cellHeight": "xs""#),
    ];
    let said = compiled(|mut source| {
        for (right, wrong) in MISTAKES {
            assert!(source.contains(right), "{right}");
            source = source.replace(right, wrong);
        }
        source
    });
    let Some(said) = said else { return };
    for word in ["valu", "drawStile", "botom", "7", "cellGapp", "'string'", "xs"] {
        assert!(said.contains(word), "{word} is not found: {said}");
    }
}
