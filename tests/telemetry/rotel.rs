//! The same traces before a collector that somebody else wrote: rotel.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::*;

/// The program: `VITALSIGN_ROTEL`, or `rotel-agent` on the path.
fn rotel() -> Option<PathBuf> {
    let named = std::env::var_os("VITALSIGN_ROTEL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("rotel-agent"));
    let program = named.filter(|file| file.is_file()).or_else(|| found.find(|file| file.is_file()));
    if program.is_none() {
        let why = "rotel-agent is not installed (PyPI rotel; VITALSIGN_ROTEL names the program)";
        assert!(
            std::env::var_os("VITALSIGN_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
            "{why}"
        );
        eprintln!("LEFT OUT: telemetry::rotel: {why}");
    }
    program
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn an_independent_collector_reads_what_is_sent() {
    let Some(program) = rotel() else { return };
    let directory = tempfile::tempdir().unwrap();
    let addresses = [free_address(), free_address()];
    let mut child = Command::new(program)
        .current_dir(directory.path())
        .args(["start", "--exporter", "blackhole"])
        .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
        .args(["--otlp-grpc-endpoint", &addresses[0], "--otlp-http-endpoint", &addresses[1]])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for (protocol, address) in PROTOCOLS.into_iter().zip(&addresses) {
        let setup = Setup::new().at(&format!("http://{address}"), protocol);
        let running = setup.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip").build();
        // Until it listens, deliveries are tried again.
        let (id, _) = running.run(true);
        let mut printed = String::new();
        let read = async {
            while printed.matches(&id).count() < 2 || !printed.contains("SPAN_KIND_INTERNAL") {
                printed += &output.next_line().await.unwrap().expect("it goes on printing");
                printed.push('\n');
            }
        };
        assert!(timeout(LONG, read).await.is_ok(), "{printed}\n{}", running.lines.text());
        for text in [
            "service.name: Str(orders)",
            "deployment.environment.name: Str(production)",
            concat!("InstrumentationScope vitalsign ", env!("CARGO_PKG_VERSION")),
            ": connect\n",
            "SPAN_KIND_CLIENT",
            ": health.check tcp\n",
        ] {
            assert!(printed.contains(text), "{text} not in\n{printed}");
        }
        assert_eq!(running.shutdown().await, 0);
    }
}
