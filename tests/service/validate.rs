//! `vitalsign validate`: what is wrong, or what was read.

use std::process::Command;

use super::commands::{configured, mixed, vitalsign, with};

#[test]
fn validate_lists_every_error_with_its_position() {
    let dir = configured("[checks.a]\nkind = \"tpc\"\n\n[checks.B]\nkind = \"tcp\"\n");
    let ended = vitalsign(dir.path(), &["validate"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let lines: Vec<&str> = ended.err.lines().collect();
    assert!(lines[0].starts_with("vitalsign.toml:2:8: checks.a.kind: "), "{ended:?}");
    assert!(lines[0].contains("did you mean `tcp`?"), "{ended:?}");
    assert!(lines.iter().any(|l| l.starts_with("vitalsign.toml:4:9: checks.B: ")), "{ended:?}");
    for command in [&[][..], &["serve"], &["check"]] {
        assert_eq!(vitalsign(dir.path(), command).code, Some(78), "{command:?}");
    }
}

#[test]
fn validate_says_how_much_is_valid() {
    let dir = mixed();
    let ended = vitalsign(dir.path(), &["validate"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, "valid: 2 checks, 1 more disabled\nfile: vitalsign.toml\n");
    let empty = tempfile::tempdir().expect("a directory");
    let embedded = vitalsign(empty.path(), &["validate"]);
    let valid = "valid: 1 check\nfile: built-in configuration\n";
    assert_eq!((embedded.code, embedded.out.as_str()), (Some(0), valid));
}

#[test]
fn validate_says_what_was_read_and_no_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a file");
    };
    std::fs::create_dir(dir.path().join("conf.d")).expect("a directory");
    write("token", "hunter2-of-people\n");
    let check = "[checks.cache]\nkind = \"redis\"\nurl = \"redis://:${PASSWORD}@cache\"\n";
    write("conf.d/cache.toml", check);
    write(
        "orders.toml",
        r#"
        [server]
        token = { file = "token" }
        metrics_token = { env = "SCRAPE" }
        [include]
        files = ["conf.d/*.toml"]
        [[maintenance]]
        checks = ["cache"]
        start = "23:00"
        duration = "1h"
        timezone = "Europe/Berlin"
        [[maintenance]]
        from = "2020-01-01T00:00:00Z"
        until = "2020-01-01T01:00:00Z"
        [[maintenance]]
        from = "2020-01-01T00:00:00Z"
        until = "9000-01-01T00:00:00Z"
        "#,
    );
    let secrets = |c: &mut Command| {
        c.env("PASSWORD", "hunter2-of-cache").env("SCRAPE", "hunter2-of-scraper");
    };
    let ended = with(dir.path(), &["validate", "orders.toml"], secrets);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[..3], ["valid: 1 check", "file: orders.toml", "included: conf.d/cache.toml"]);
    assert_eq!(lines[3], "variable: PASSWORD, for checks.cache.url");
    assert_eq!(lines[4], "variable: SCRAPE, for server.metrics_token");
    assert!(lines[5].starts_with("secret: /"), "{}", lines[5]);
    assert!(lines[5].ends_with("/token, for server.token"), "{}", lines[5]);
    let recurring = lines[6].strip_prefix("maintenance: cache, ").expect("the first window");
    let opens = recurring.contains("opens ") && recurring.contains(" 23:00 Europe/Berlin, in ");
    let is_open = recurring.contains("is open until ") && recurring.contains(" 00:00 Europe/");
    assert!(opens || is_open, "{recurring}");
    assert_eq!(lines[7], "maintenance: every check, is over");
    let open = "maintenance: every check, is open until 9000-01-01 00:00 UTC, in ";
    assert!(lines[8].starts_with(open), "{}", lines[8]);
    assert_eq!(lines.len(), 9, "{}", ended.out);
    for again in [&["-c", "orders.toml", "validate"][..], &["validate", "-c", "orders.toml"]] {
        assert_eq!(with(dir.path(), again, secrets).out, ended.out, "{again:?}");
    }
    let by_variable = with(dir.path(), &["validate", "orders.toml"], |c| {
        secrets(c);
        c.env("VITALSIGN_CONFIG", "missing.toml");
    });
    assert_eq!(by_variable.out, ended.out, "a name on the command line wins");
    let twice = with(dir.path(), &["validate", "-c", "orders.toml", "orders.toml"], secrets);
    assert_eq!(twice.code, Some(2), "{twice:?}");
}
