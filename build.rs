//! Notes the compiler's version, for `health_build_info`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let version = version().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=VITALSIGN_RUSTC_VERSION={version}");
}

/// The second word of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn version() -> Option<String> {
    let output = Command::new(std::env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
