//! The lines of docs/BEHIND_A_PROXY.md that no test can run, read by the tools that check such files.

use std::path::Path;
use std::process::Command;

use super::proxies::block;
use crate::support::daemon::left_out;

/// Runs a tool on a file of this text, and returns all that it said.
fn checked(program: &str, arguments: &[&str], file: &str, text: &str) -> Option<(bool, String)> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(file);
    std::fs::write(&path, text).expect("a file");
    let Ok(output) = Command::new(program).args(arguments).arg(&path).output() else {
        left_out(program);
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn the_pod_of_the_page_is_one_by_the_schema_of_kubernetes() {
    let pod = |lines: &str| {
        let spec: Vec<_> = lines.lines().map(|line| format!("  {line}")).collect();
        let spec =
            spec.join("\n").replace("name: application", "name: application\n    image: orders:1");
        format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: orders\nspec:\n{spec}")
    };
    let check = |text: &str| checked("kubernetes-validate", &["--strict"], "pod.yml", text);
    let lines = block("Kubernetes");
    let Some((fine, said)) = check(&pod(lines)) else { return };
    assert!(fine, "{said}");
    let wrong = lines.replace("periodSeconds", "periodOfSeconds");
    let (fine, said) = check(&pod(&wrong)).expect("it is installed");
    assert!(!fine, "it would find a key that does not exist: {said}");
}

#[test]
fn the_unit_of_the_page_holds_what_systemd_knows() {
    let lines = block("systemd");
    let installed = "/usr/local/bin/vitalsign";
    assert!(lines.contains(installed), "{lines}");
    let unit = lines.replace(installed, env!("CARGO_BIN_EXE_vitalsign"));
    assert!(Path::new("/bin/kill").exists(), "systemd looks for what a unit starts");
    let check = |text: &str| checked("systemd-analyze", &["verify"], "vitalsign.service", text);
    let Some((fine, said)) = check(&unit) else { return };
    // It warns of what it does not know, and is content.
    assert!(fine && said.is_empty(), "{said}");
    let (_, said) = check(&unit.replace("TimeoutStopSec", "TimeoutStop")).expect("installed");
    assert!(said.contains("TimeoutStop"), "it would find a key that does not exist: {said}");
}
