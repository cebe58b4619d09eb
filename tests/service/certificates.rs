//! The page on private certificates, whose lines work as they stand.

use std::path::Path;
use std::process::Command;

use crate::support::daemon::{free_port, succeed};
use crate::support::openssl::OpenSsl;
use crate::support::service::{Service, command, run};

const PAGE: &str = include_str!("../../docs/CERTIFICATES.md");

/// The code blocks of a language in a section, with another port.
fn blocks(heading: &str, language: &str, port: u16) -> Vec<String> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().expect("what comes before the next one");
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    let text = |block: &str| block.split("```").next().expect("its end").to_owned();
    blocks.map(|block| text(block).replace("8443", &port.to_string())).collect()
}

fn shell(dir: &Path, script: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.current_dir(dir).arg("-ec").arg(script);
    succeed(shell);
}

/// The service with the certificate that the page's lines make in its directory.
async fn serving(script: &str, config: &str) -> Service {
    Service::start_with(config, |command| {
        shell(command.get_current_dir().expect("its directory"), script);
    })
    .await
}

#[tokio::test]
async fn a_service_with_a_self_signed_certificate_is_asked_as_the_page_says() {
    let Some(_) = OpenSsl::new() else { return };
    let section = "A self-signed certificate for the service";
    let [make, _] = &blocks(section, "sh", 0)[..] else { panic!("two blocks") };
    let service = serving(make, &blocks(section, "toml", 1)[0]).await;
    let port = service.address.port();
    let probe = blocks(section, "sh", port)[1].clone();
    let arguments: Vec<&str> = probe.split_whitespace().skip(1).collect();
    let probed = run(command(service.dir.path(), &arguments));
    assert_eq!(probed.code, Some(0), "{probed:?}");

    // The same service is what a check asks.
    let asking = tempfile::tempdir().expect("a directory");
    let section = "Ask a server with a self-signed certificate";
    shell(asking.path(), &blocks(section, "sh", port)[0]);
    passes(asking.path(), &blocks(section, "toml", port)[0]);
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_as_the_page_says() {
    let Some(_) = OpenSsl::new() else { return };
    let section = "An authority of your own";
    let config = "[server]\ntls = { cert = \"server.pem\", key = \"server.key\" }\n";
    let service = serving(&blocks(section, "sh", free_port())[0], config).await;
    passes(service.dir.path(), &blocks(section, "toml", service.address.port())[0]);
}

fn passes(dir: &Path, checks: &str) {
    std::fs::write(dir.join("checks.toml"), checks).expect("a configuration");
    let ended = run(command(dir, &["check", "--config", "checks.toml"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.out.contains("[~]"), "no caveat: {ended:?}");
}
