//! Configurations that are accepted: what they come to, and when they count as changed.

#![allow(clippy::expect_used, reason = "a helper fails a test as its own lines do")]

use std::env::VarError;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use vitalsign::config::{
    ConfigError, Details, Loaded, Loader, LogFormat, LogLevel, Secret, TracesProtocol,
};
use vitalsign::{Day, Window};

use crate::configuration::{FOLDER, HIDDEN, KINDS, loader, parse};

/// The valid example in a folder of its own, with the secrets and certificates that it names.
pub(crate) fn full() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let valid = Path::new(FOLDER).join("valid");
    fs::create_dir(folder.path().join("conf.d")).expect("a folder");
    for file in ["full.toml", "conf.d/included.toml"] {
        fs::copy(valid.join(file), folder.path().join(file)).expect("a copy");
    }
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).expect("a folder");
    fs::write(secrets.join("token"), "to-ken\n").expect("a file");
    fs::write(secrets.join("url"), "sample://from-file\r\n").expect("a file");
    certificate(&secrets);
    folder
}

fn certificate(folder: &Path) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(folder.join("cert.pem"), pair.cert.pem()).expect("a file");
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).expect("a file");
}

pub(crate) fn load(folder: &tempfile::TempDir) -> Loaded {
    loader().load(&folder.path().join("full.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn moment(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().expect("a moment").into()
}

/// What the check `name` was declared with, as its `Debug` shows it.
fn declared(loaded: &Loaded, name: &str) -> String {
    let check = loaded.checks.iter().find(|check| check.name == name);
    format!("{:?}", check.expect("the check is there").declared)
}

pub(crate) fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.replace("\\\"", "\"").contains(part), "{part} is not in {text}");
    }
}

#[test]
fn every_setting_is_taken_over() {
    let folder = full();
    let loaded = load(&folder);
    let settings = &loaded.settings;
    assert_eq!(settings.service.name, "orders");
    assert_eq!(settings.service.version, "1.4.2");
    assert_eq!(settings.service.environment.as_deref(), Some("production"));
    assert_eq!(settings.service.instance, "orders-1");
    let server = &settings.server;
    assert_eq!(server.listen.to_string(), "[::1]:9090");
    assert_eq!(server.details, Details::Always);
    assert_eq!(server.token.as_ref().map(Secret::expose), Some("to-ken"));
    assert_eq!(server.metrics_token.as_ref().map(Secret::expose), Some(HIDDEN));
    assert_eq!(server.drain_delay, Duration::from_secs(3));
    assert_eq!(server.shutdown_timeout, Duration::from_secs(20));
    assert_eq!(server.liveness_timeout, Duration::from_mins(1));
    assert_eq!(server.header_timeout, Duration::from_secs(5));
    assert_eq!(server.idle_timeout, Duration::from_mins(2));
    assert_eq!(server.max_connections, 100);
    let tls = server.tls.as_ref().expect("TLS");
    assert_eq!(tls.cert.0, folder.path().join("secrets/cert.pem"));
    assert_eq!(tls.key.0, folder.path().join("secrets/key.pem"));
    let windows = [
        Window::weekly([Day::Sat], "23:00", Duration::from_hours(3), "Europe/Berlin")
            .expect("a window")
            .for_checks(["orders-db", "retired"]),
        Window::once(moment("2026-01-31T21:00:00Z"), moment("2026-02-01T00:00:00Z"))
            .expect("a window"),
    ];
    assert_eq!(settings.maintenance, windows);
    let telemetry = &settings.telemetry;
    assert_eq!(telemetry.log_level, LogLevel::Debug);
    assert_eq!(telemetry.log_format, LogFormat::Json);
    let endpoint = telemetry.traces_endpoint.as_ref().map(Secret::expose);
    assert_eq!(endpoint, Some("http://127.0.0.1:4318"));
    assert_eq!(telemetry.traces_protocol, Some(TracesProtocol::HttpProtobuf));
    assert_eq!(telemetry.keep_healthy_traces.to_bits(), 0.5_f64.to_bits());
    assert_eq!(telemetry.trace_url.as_deref(), Some("http://tempo/{trace_id}"));
    assert!(!format!("{settings:?}").contains(HIDDEN));
}

#[test]
fn every_option_of_a_check_is_taken_over() {
    let folder = full();
    let loaded = load(&folder);
    let names: Vec<&str> = loaded.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["included", "orders-db", "vpn"]);
    assert_eq!(loaded.disabled, ["retired"]);
    let data = format!("\"{}\"", folder.path().join("data/orders").display());
    assert_holds(
        &declared(&loaded, "orders-db"),
        &[
            "sample://db/orders?password=hunter2",
            r#"description: Some("orders, primary: ${literally} by default $5")"#,
            "interval: Some(5s), timeout: Some(1.5s)",
            "failure_threshold: Some(2), success_threshold: Some(4)",
            r#"gates: Some(["health", "ready"]), depends_on: ["vpn"]"#,
            "degraded_after: Some(250ms), objective: Some(99.9)",
            r#"labels: {"env": "prod", "team": "payments"}, propagate: Some(false)"#,
            r#"[("Accept", "*/*"), ("Authorization", "hunter2"), ("X-Key", "to-ken")]"#,
            r#"{"env": "PASSWORD", "file": "not/a/secret"}"#,
            &data,
            r#"Some(("me", "hunter2")), Some(7)"#,
        ],
    );
}

#[test]
fn relative_paths_start_from_the_file_that_holds_them() {
    let folder = full();
    let data = folder.path().join("conf.d/data/included").display().to_string();
    assert_holds(&declared(&load(&folder), "included"), &["sample://from-file\"", &data]);
}

#[test]
fn what_a_check_does_not_say_follows_the_defaults() {
    let folder = full();
    assert_holds(
        &declared(&load(&folder), "vpn"),
        &[
            "interval: Some(20s), timeout: Some(4s)",
            "failure_threshold: Some(5), success_threshold: Some(2)",
            "gates: Some([]), depends_on: []",
            "degraded_after: None, objective: None, labels: {}, propagate: Some(true)",
        ],
    );
}

#[test]
fn what_nobody_says_is_as_documented() {
    let loaded = parse("[checks.a]\nkind = \"sample\"\nurl = \"sample://a\"").expect("valid");
    assert_holds(
        &declared(&loaded, "a"),
        &[
            "interval: Some(10s), timeout: Some(2s)",
            "failure_threshold: Some(3), success_threshold: Some(1)",
            "gates: Some([\"ready\"])",
        ],
    );
    let server = &loaded.settings.server;
    assert_eq!(server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(server.details, Details::Auto);
    assert!(server.token.is_none() && server.metrics_token.is_none() && server.tls.is_none());
    assert_eq!(server.drain_delay, Duration::from_secs(10));
    assert_eq!(server.shutdown_timeout, Duration::from_secs(25));
    assert_eq!(server.liveness_timeout, Duration::from_secs(30));
    assert_eq!(server.header_timeout, Duration::from_secs(10));
    assert_eq!(server.idle_timeout, Duration::from_secs(75));
    assert_eq!(server.max_connections, 1024);
    let service = &loaded.settings.service;
    assert_eq!(service.name, "vitalsign");
    assert_eq!(service.version, env!("CARGO_PKG_VERSION"));
    assert!(!service.instance.is_empty());
    let telemetry = &loaded.settings.telemetry;
    assert_eq!(telemetry.log_level, LogLevel::Info);
    assert_eq!(telemetry.log_format, LogFormat::Auto);
    assert_eq!(telemetry.traces_protocol, None, "its default depends on the endpoint's origin");
    assert_eq!(telemetry.keep_healthy_traces.to_bits(), 0.05_f64.to_bits());
    assert!(telemetry.traces_endpoint.is_none() && telemetry.trace_url.is_none());
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_default_timeout_is_half_of_a_short_interval() {
    let text = "[checks.a]\nkind = \"sample\"\nurl = \"sample://a\"\ninterval = \"1s\"";
    assert_holds(&declared(&parse(text).expect("valid"), "a"), &["timeout: Some(500ms)"]);
    let text = format!("[defaults]\ninterval = \"3s\"\n{}", text.replace("interval = \"1s\"", ""));
    assert_holds(&declared(&parse(&text).expect("valid"), "a"), &["timeout: Some(1.5s)"]);
}

#[test]
fn a_gate_on_liveness_is_warned_about() {
    let folder = full();
    let warnings: Vec<String> = load(&folder).warnings.iter().map(ToString::to_string).collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_holds(warning, &["full.toml:36:9: checks.orders-db.gates[1]: ", "restart in circles"]);
}

#[test]
fn a_file_without_checks_is_accepted_with_a_warning() {
    for text in ["", "# nothing\n", "\u{feff}", "[server]\nlisten = \"localhost:1\"\r\n"] {
        let loaded = parse(text).expect("valid");
        assert!(loaded.checks.is_empty());
        assert_eq!(loaded.warnings.len(), 1, "{text:?}");
    }
}

#[test]
fn the_service_name_of_opentelemetry_wins() {
    let named = Loader::new(KINDS).environment(|name| match name {
        "OTEL_SERVICE_NAME" => Ok("from-environment".into()),
        _ => Err(VarError::NotPresent),
    });
    let loaded = named.parse("vitalsign.toml", "[service]\nname = \"orders\"").expect("valid");
    assert_eq!(loaded.settings.service.name, "from-environment");
}

#[test]
fn an_address_from_outside_beats_the_file_and_its_rules_apply() {
    let outside = || loader().listen(([0, 0, 0, 0], 80).into());
    let loaded = outside().parse("x", "[server]\nlisten = \"127.0.0.1:1\"").expect("valid");
    assert_eq!(loaded.settings.server.listen.to_string(), "0.0.0.0:80");
    assert!(outside().parse("x", "[server]\ndetails = \"always\"").is_err());
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart_from_an_invalid_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("vitalsign.toml");
    assert!(matches!(loader().load(&missing), Err(ConfigError::Unreadable { .. })));
    assert!(matches!(loader().load(folder.path()), Err(ConfigError::Unreadable { .. })));
    fs::write(&missing, b"# caf\xe9").expect("a file");
    assert!(matches!(loader().load(&missing), Err(ConfigError::NotUtf8 { .. })));
    fs::write(&missing, "x = 1").expect("a file");
    assert!(matches!(loader().load(&missing), Err(ConfigError::Invalid(_))));
}

#[test]
fn a_pattern_that_matches_nothing_or_its_own_file_is_fine() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vitalsign.toml");
    fs::write(&path, "[include]\nfiles = [\"*.toml\", \"none/*\"]\n[server]\n").expect("a file");
    fs::write(folder.path().join(".hidden.toml"), "no = toml").expect("a file");
    assert!(loader().load(&path).is_ok());
}

#[test]
fn a_revision_changes_with_what_a_check_is_made_of_and_nothing_else() {
    let folder = full();
    let revisions = || -> Vec<[u8; 32]> {
        load(&folder).checks.iter().map(vitalsign::config::NamedCheck::revision).collect()
    };
    let before = revisions();
    let path = folder.path().join("full.toml");
    let text = fs::read_to_string(&path).expect("text");
    fs::write(&path, format!("# a comment\n{text}").replace("1s 500ms", "1s  500ms")).expect("ok");
    let respaced = revisions();
    assert_eq!([before[0], before[2]], [respaced[0], respaced[2]], "other checks");
    fs::write(&path, format!("# a comment\n{text}")).expect("a file");
    assert_eq!(before, revisions(), "a comment");

    fs::write(folder.path().join("secrets/url"), "sample://rotated").expect("a file");
    let rotated = revisions();
    assert_ne!(before[0], rotated[0], "a secret in a file");
    assert_eq!(before[1..], rotated[1..]);

    certificate(&folder.path().join("secrets"));
    let renewed = revisions();
    assert_ne!(rotated[1], renewed[1], "a certificate");
    assert_eq!(rotated[2], renewed[2]);

    fs::write(&path, text.replace("interval = \"20s\"", "interval = \"30s\"")).expect("a file");
    let slower = revisions();
    assert_ne!(renewed[2], slower[2], "a default");
    assert_eq!(renewed[1], slower[1], "one that it overrides");
}

#[test]
fn an_option_that_needs_a_restart_is_named_when_it_differs() {
    let folder = full();
    let before = load(&folder).settings;
    assert_eq!(before.needing_restart(&before), [""; 0]);
    certificate(&folder.path().join("secrets"));
    assert_eq!(before.needing_restart(&load(&folder).settings), ["server.tls"], "renewed");

    let minimal = loader().parse("x", "").expect("valid").settings;
    let all = before.needing_restart(&minimal);
    assert_eq!(all.len(), 21, "{all:?}");
    let tokens = loader().parse("x", "[server]\ntoken = \"abcd\"\ndetails = \"never\"");
    assert_eq!(minimal.needing_restart(&tokens.expect("valid").settings), [""; 0]);
}

#[test]
fn a_file_that_says_nothing_is_blank() {
    for (text, blank) in [
        ("", true),
        ("\u{feff}", true),
        (" \t\r\n# x = 1\n", true),
        ("[server]", false),
        ("# x\n[checks]", false),
    ] {
        assert_eq!(loader().parse("x", text).expect("valid").blank, blank, "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), format!("\u{feff}{text}")).expect("to write");
    };
    write("url", "sample://db\r\n");
    write("more.toml", "[checks.more]\nkind = \"sample\"\nurl = { file = \"url\" }\n");
    let main = "include.files = [\"more.toml\"]\n[checks.db]\nkind = \"sample\"\n\
                url = { file = \"url\" }\n";
    write("vitalsign.toml", main);
    let loaded = loader().load(&folder.path().join("vitalsign.toml")).expect("it is valid");
    for name in ["db", "more"] {
        assert_holds(&declared(&loaded, name), &["\"sample://db\""]);
    }
    write("vitalsign.toml", "nonsense = 1\n");
    let error = loader().load(&folder.path().join("vitalsign.toml")).expect_err("it is wrong");
    assert!(error.to_string().contains("vitalsign.toml:1:1: nonsense: "), "{error}");
}

#[test]
fn the_schema_knows_every_option_of_the_full_example() {
    let schema = vitalsign::config::schema(KINDS);
    let text = fs::read_to_string(Path::new(FOLDER).join("valid/full.toml")).expect("text");
    let example: toml::Table = text.parse().expect("TOML");
    for (name, section) in &example {
        let of_section = &schema["properties"][name];
        assert!(of_section.is_object(), "{name}");
        let tables: Vec<_> = match name.as_str() {
            "checks" => section.as_table().into_iter().flat_map(toml::Table::values).collect(),
            _ => vec![section],
        };
        for table in tables.into_iter().filter_map(toml::Value::as_table) {
            let properties = match name.as_str() {
                "checks" => &of_section["additionalProperties"]["oneOf"][0]["properties"],
                _ => &of_section["properties"],
            };
            let unknown: Vec<_> =
                table.keys().filter(|key| properties[key.as_str()].is_null()).collect();
            assert!(unknown.is_empty(), "{name}: {unknown:?}");
        }
    }
    let check = &schema["properties"]["checks"]["additionalProperties"]["oneOf"][0];
    assert_eq!(check["properties"]["kind"]["const"], "sample");
    assert_eq!(check["required"], serde_json::json!(["kind", "url"]));
    for reference in schema.to_string().split("#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(schema["$defs"][name].is_object(), "{name}");
    }
}

#[test]
fn a_window_without_more_is_every_day_in_utc_and_one_that_never_ends_is_worth_a_warning() {
    let window = |duration: &str| {
        let text =
            format!("[[maintenance]]\nstart = \"${{START:-01:30}}\"\nduration = {duration:?}");
        parse(&text).unwrap_or_else(|error| panic!("{error}"))
    };
    let loaded = window("2h");
    let daily = Window::daily("01:30", Duration::from_hours(2), "UTC").expect("a window");
    assert_eq!(loaded.settings.maintenance, [daily]);
    let warnings = |loaded: &Loaded| {
        let said = loaded.warnings.iter().filter(|w| w.path.starts_with("maintenance"));
        said.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&loaded), [""; 0]);
    let told = "vitalsign.toml:3:12: maintenance[0].duration: it lasts until it opens again, so it \
                never ends; write less, or fewer days";
    assert_eq!(warnings(&window("24h")), [told]);
}

#[test]
fn windows_need_no_restart() {
    let before = parse("").expect("a configuration").settings;
    let after = parse("[[maintenance]]\nstart = \"01:00\"\nduration = \"1h\"");
    let after = after.expect("a configuration").settings;
    assert_eq!(before.needing_restart(&after), [""; 0]);
}
