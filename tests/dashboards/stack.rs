//! The files that start the stack, as the programs that read them see them.

use std::path::Path;
use std::process::{Command, Output};

use super::{path, read};
use crate::support::prometheus::{installed, left_out};
use crate::support::service::{command, run};

/// Runs a program to its end.
///
/// # Panics
/// With what it said, when it fails.
fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{command:?}: {said}");
    said
}

/// A Python with PyYAML, as `VITALSIGN_PYTHON` names one.
fn python() -> Option<Command> {
    let python = std::env::var_os("VITALSIGN_PYTHON").unwrap_or_else(|| "python3".into());
    let there = Command::new(&python).args(["-c", "import yaml"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        left_out("Python has no PyYAML; VITALSIGN_PYTHON names one that has");
        return None;
    }
    Some(Command::new(python))
}

#[test]
fn what_is_made_by_a_program_is_what_it_makes() {
    let Some(python) = installed("python3") else { return };
    for program in ["dashboards/grafana/build.py", "dashboards/kubernetes/build.py"] {
        // Without leaving compiled modules behind.
        succeed(Command::new(&python).arg("-B").arg(path(program)).arg("--check"));
    }
}

/// What the service says of a configuration whose secrets lie in `dashboards/compose`.
fn validate(config: &str, secrets: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let ours = format!("{}/", path("dashboards/compose").display());
    let config = config.replace(secrets, &ours).replace("orders-db-url", "postgres-url");
    let config = config.replace("vitalsign/token", "vitalsign-token");
    std::fs::write(dir.path().join("vitalsign.toml"), config).expect("the configuration");
    let mut command = command(dir.path(), &["validate"]);
    command.env("CLUSTER_DNS", "10.96.0.10");
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
}

#[test]
fn the_configuration_of_the_composed_service_is_valid() {
    validate(&read("dashboards/compose/vitalsign.toml"), "/run/secrets/");
}

#[test]
fn the_configuration_of_the_deployed_service_is_valid() {
    let manifests = read("dashboards/kubernetes/vitalsign.yml");
    let inside = manifests.lines().skip_while(|line| !line.ends_with("vitalsign.toml: |")).skip(1);
    let inside = inside.take_while(|line| line.is_empty() || line.starts_with("    "));
    let config: Vec<_> = inside.map(str::trim_start).collect();
    assert!(config.len() > 10, "{config:?}");
    let config = config.join("\n").replace("/secrets/vitalsign/token", "/secrets/vitalsign-token");
    validate(
        &config.replace("/var/run/secrets/vitalsign/", "/var/run/secrets/"),
        "/var/run/secrets/",
    );
}

#[test]
fn compose_accepts_its_file() {
    let Some(compose) = installed("docker-compose") else { return };
    let file = path("docker-compose.yml");
    let said = succeed(Command::new(compose).arg("--file").arg(file).args(["config", "--quiet"]));
    assert_eq!(said, "");
}

#[test]
fn hadolint_has_nothing_to_say_of_the_image() {
    let Some(hadolint) = installed("hadolint") else { return };
    let said = succeed(Command::new(hadolint).arg(path("Dockerfile")));
    assert_eq!(said, "");
}

#[test]
fn every_manifest_is_one_by_the_schemas_of_kubernetes() {
    let Some(validator) = installed("kubernetes-validate") else { return };
    let files = ["vitalsign.yml", "dashboards.yml"].map(|f| path("dashboards/kubernetes").join(f));
    let said = succeed(Command::new(validator).arg("--strict").args(files));
    assert_eq!(said.matches(" passed for resource ").count(), 8, "{said}");
}

#[test]
fn the_parts_of_the_stack_fit_together() {
    let Some(mut python) = python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    succeed(python.arg("-B").arg(path("tests/dashboards/structure.py")).arg(root));
}
