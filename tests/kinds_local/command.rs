//! The `command` kind, with programs that fail, hang, flood and leave others behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use opentelemetry::trace::Status;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tempfile::TempDir;
use tokio::time::Instant;
use vitalsign::{Context, Outcome, Reason, Run};

use crate::support::checks::{PATIENT, SHORT, ask, check, errors, failure, run};
use crate::support::daemon::{left_out, wait_for};
use crate::support::spans::{Spans, attribute, id};

/// Options that have a shell run `script`.
fn shell(script: &str) -> String {
    format!("program = 'sh'\nargs = ['-c', '''{script}''']\n")
}

async fn sh(script: &str, more: &str) -> Run {
    run(check("command", &format!("{}{more}", shell(script)))).await
}

/// The state letter of a process; none when there is no such process any more.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A process that is gone, or a zombie that is another's to reap.
fn is_over(pid: &str) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

/// The numbers that a script wrote to `file`, once there are so many.
async fn written(file: &Path, count: usize) -> Vec<String> {
    let read = || -> Vec<String> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    wait_for("the script to write its number", async || read().len() >= count).await;
    read()
}

#[tokio::test]
async fn a_program_that_exits_with_0_is_a_success() {
    let run = run(check("command", "program = 'true'")).await;
    assert_eq!((run.outcome, run.message), (Outcome::Success, None));
}

#[tokio::test]
async fn another_exit_code_is_a_failure_that_says_what_the_program_wrote_first() {
    for (script, said) in [
        ("echo first >&2; echo second >&2", "first"),
        ("echo out; echo more; echo first >&2", "out"),
        ("echo first >&2; echo out", "out"),
        ("echo; echo ' '; echo first >&2", "first"),
    ] {
        let failed = sh(&format!("{script}; exit 3"), "").await;
        assert_eq!(failed.outcome, Outcome::Failure);
        assert_eq!(failed.reason, Some(Reason::UnexpectedStatus));
        let text = format!("sh exited with 3, expected 0: {said}");
        assert_eq!(failed.message.as_deref(), Some(text.as_str()), "{script}");
    }
    let silent = sh("exit 1", "").await;
    assert_eq!(silent.message.as_deref(), Some("sh exited with 1, expected 0"));
}

#[tokio::test]
async fn exit_codes_are_judged_as_expected() {
    let expect = "expect = { exit = [0, 3], warning = [1, 4] }";
    for (code, outcome) in [
        (0, Outcome::Success),
        (3, Outcome::Success),
        (1, Outcome::Warning),
        (4, Outcome::Warning),
        (2, Outcome::Failure),
    ] {
        let run = sh(&format!("echo why >&2; exit {code}"), expect).await;
        assert_eq!(run.outcome, outcome, "{code}: {:?}", run.message);
        if outcome == Outcome::Warning {
            assert_eq!(run.message, Some(format!("sh exited with {code}: why")));
        }
    }
    let unknown = sh("echo cannot tell; exit 3", "expect.unknown = [3, 4]").await;
    assert_eq!((unknown.outcome, unknown.reason), (Outcome::Unknown, Some(Reason::LocalResource)));
    assert_eq!(unknown.message.as_deref(), Some("sh exited with 3: cannot tell"));
    let run = sh("exit 0", "expect.exit = 1").await;
    assert_eq!(run.message.as_deref(), Some("sh exited with 0, expected 1"));
}

/// Debian's package `monitoring-plugins-basic`.
const PLUGINS: &str = "/usr/lib/nagios/plugins";

#[tokio::test]
async fn the_plugins_of_monitoring_systems_are_understood() {
    if !Path::new(PLUGINS).exists() {
        return left_out("monitoring-plugins-basic");
    }
    let expect = "expect = { warning = 1, unknown = 3 }";
    for (plugin, args, outcome, said) in [
        ("check_dummy", &["0", "fine"][..], Outcome::Success, None),
        ("check_dummy", &["1", "low"], Outcome::Warning, Some("exited with 1: WARNING: low")),
        (
            "check_dummy",
            &["2", "out"],
            Outcome::Failure,
            Some("exited with 2, expected 0: CRITICAL: out"),
        ),
        ("check_dummy", &["3", "odd"], Outcome::Unknown, Some("exited with 3: UNKNOWN: odd")),
        (
            "check_disk",
            &["-w", "100%", "-c", "100%", "-p", "/"],
            Outcome::Failure,
            Some("exited with 2, expected 0: DISK CRITICAL - free space: / "),
        ),
        ("check_disk", &["-w", "0%", "-c", "0%", "-p", "/"], Outcome::Success, None),
        ("check_disk", &["-p", "/nowhere"], Outcome::Unknown, Some("exited with 3: ")),
    ] {
        let options = format!("program = '{PLUGINS}/{plugin}'\nargs = {args:?}\n{expect}");
        let run = run(check("command", &options)).await;
        assert_eq!(run.outcome, outcome, "{plugin} {args:?}: {:?}", run.message);
        let message = run.message.unwrap_or_default();
        assert!(message.contains(said.unwrap_or_default()), "{plugin} {args:?}: {message}");
        assert_eq!(message.is_empty(), said.is_none(), "{plugin} {args:?}: {message}");
    }
}

#[tokio::test]
async fn a_program_that_is_killed_or_missing_is_a_failure() {
    let killed = sh("kill -9 $$", "").await;
    assert_eq!(killed.reason, Some(Reason::UnexpectedStatus));
    assert_eq!(killed.message.as_deref(), Some("sh was ended by signal 9"));
    for program in ["no-such-program", "/nowhere/program", "/etc"] {
        let failure = failure("command", &format!("program = '{program}'")).await;
        assert_eq!(failure.reason(), Reason::Other, "{}", failure.message());
        let text = format!("{program} cannot be run: ");
        assert!(failure.message().starts_with(&text), "{}", failure.message());
    }
}

#[tokio::test]
async fn no_shell_reads_the_arguments() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("a b; touch c $HOME *");
    let options = format!("program = 'touch'\nargs = ['{}']", file.display());
    assert_eq!(run(check("command", &options)).await.outcome, Outcome::Success);
    assert!(file.exists());
}

#[tokio::test]
async fn a_program_gets_little_of_the_environment_and_what_is_configured() {
    // The test runner's own, which is no business of the program's.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let run =
        sh("env | cut -d= -f1 | sort | tr '\\n' ' ' >&2; exit 1", "env = { KEY = 'v' }").await;
    let message = run.message.expect("a line");
    let (_, names) = message.split_once("expected 0: ").expect("what it said");
    // What a shell sets of its own accord.
    let own = ["_", "OLDPWD", "PWD", "SHLVL"];
    let names: Vec<_> = names.split(' ').filter(|name| !own.contains(name)).collect();
    assert!(names.contains(&"KEY") && names.contains(&"PATH"), "{names:?}");
    let known = ["HOME", "KEY", "LANG", "PATH", "TZ"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
}

#[tokio::test]
async fn what_it_was_given_does_not_come_back() {
    let options = "env = { PASSWORD = 'hunter2-s3cr3t' }";
    let run = sh("echo refused: $PASSWORD >&2; exit 1", options).await;
    let text = "sh exited with 1, expected 0: refused: <env.PASSWORD>";
    assert_eq!(run.message.as_deref(), Some(text));
    let made = check("command", &format!("{}{options}", shell("exit 1")));
    let (spans, _guard) = Spans::record();
    ask(&*made, PATIENT).await.expect_err("it fails");
    assert!(!format!("{:?}", spans.ended()).contains("hunter2"));
}

#[tokio::test]
async fn output_without_end_is_read_and_thrown_away() {
    // More than a pipe holds, on both.
    let script = "head -c 1000000 /dev/zero | tr '\\0' x | tee /dev/stderr; exit 7";
    let run = sh(script, "").await;
    let message = run.message.expect("a cause");
    assert!(message.starts_with("sh exited with 7, expected 0: xxx"), "{message}");
    assert!(message.ends_with("x…") && message.chars().count() < 250, "{message}");
}

#[tokio::test]
async fn its_time_up_the_program_is_killed_with_its_descendants_and_reaped() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("pids");
    let script = format!(
        "trap '' TERM; (echo $$; sh -c 'echo $$; sleep 1000') > {0} & sleep 1000",
        file.display()
    );
    let made = check("command", &shell(&script));
    let told = ask(&*made, SHORT).await.expect_err("it hangs");
    assert_eq!(told.reason(), Reason::Timeout);
    let pids = written(&file, 2).await;
    for pid in &pids {
        wait_for("the process to be over", async || is_over(pid)).await;
    }
    wait_for("the shell to be reaped", async || state(&pids[0]).is_none()).await;
    // And the next run may follow.
    let told = ask(&*made, SHORT).await.expect_err("it hangs");
    assert_eq!(told.message(), "no answer in time");
}

#[tokio::test]
async fn what_it_leaves_running_ends_with_it() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("pid");
    let script = format!(
        "sh -c 'echo $$ > {0}.new; mv {0}.new {0}; sleep 1000' & while ! test -e {0}; do :; done",
        file.display()
    );
    let run = sh(&script, "").await;
    assert_eq!(run.outcome, Outcome::Success, "{:?}", run.message);
    let pid = &written(&file, 1).await[0];
    wait_for("the process to be over", async || is_over(pid)).await;
}

#[tokio::test]
async fn one_that_gets_away_holds_nobody_up() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("pid");
    // It leaves the group and keeps stderr open.
    let script = format!(
        "setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' & while ! test -e {0}; do :; done; echo done >&2; exit 1",
        file.display()
    );
    let run = sh(&script, "").await;
    assert_eq!(run.message.as_deref(), Some("sh exited with 1, expected 0: done"));
    let pid = &written(&file, 1).await[0];
    assert!(!is_over(pid), "no group of ours has it");
    let killed = Command::new("kill").args(["-9", pid]).status().expect("kill runs");
    assert!(killed.success());
}

#[tokio::test]
async fn no_run_leaves_a_zombie() {
    let made = check("command", "program = 'true'");
    ask(&*made, PATIENT).await.expect("it is well");
    for _ in 0..20 {
        ask(&*made, PATIENT).await.expect("it is well");
    }
    let hanging = check("command", "program = 'sleep'\nargs = ['1000']");
    for _ in 0..3 {
        ask(&*hanging, SHORT / 10).await.expect_err("it hangs");
    }
    let me = std::process::id().to_string();
    let zombies = || {
        let all = fs::read_dir("/proc").expect("processes");
        let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names
            .filter(|pid| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // Other tests of this process start programs of their own.
                let ours = stat.contains("(true)") || stat.contains("(sleep)");
                let rest = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
                let mut rest = rest.split(' ');
                ours && rest.next() == Some("Z") && rest.next() == Some(me.as_str())
            })
            .count()
    };
    wait_for("all of them to be reaped", async || zombies() == 0).await;
}

#[tokio::test]
async fn the_span_follows_the_conventions_and_its_context_is_passed_on() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("traceparent");
    let options = shell(&format!("printf %s \"$TRACEPARENT\" > {}; exit 3", file.display()));
    let (spans, _guard) = Spans::record();
    let propagator = Arc::new(TraceContextPropagator::new());
    let cx = Context::new(Instant::now() + PATIENT, Some(propagator));
    check("command", &options).run(&cx).await.expect_err("it exits with 3");
    let span = spans.only();
    assert_eq!(span.name, "sh");
    assert_eq!(attribute(&span, "process.executable.name").as_deref(), Some("sh"));
    assert_eq!(attribute(&span, "process.exit.code").as_deref(), Some("3"));
    assert!(attribute(&span, "process.pid").is_some());
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("unexpected_status"));
    assert_eq!(span.status, Status::error("unexpected status"));
    let passed = fs::read_to_string(&file).expect("it was written");
    let trace = span.span_context.trace_id();
    assert!(passed.starts_with(&format!("00-{trace}-{}-", id(&span))), "{passed}");

    let (spans, _guard) = Spans::record();
    ask(&*check("command", "program = '/bin/true'\nexpect.exit = 1"), PATIENT)
        .await
        .expect_err("0 is not expected");
    let span = spans.only();
    assert_eq!((span.name.as_ref(), &span.status), ("true", &Status::Unset));
}

#[test]
fn options_that_cannot_be_are_errors() {
    for (options, told) in [
        ("program = ''", "program: there is no program; write a name "),
        ("program = 'bin/x'", "program: a relative path leads elsewhere "),
        ("program = \"a\\u0000\"", "program: a NUL character "),
        ("program = 'x'\nargs = ['a', \"\\u0000\"]", "args[1]: a NUL character "),
        ("program = 'x'\nenv = { A = \"\\u0000\" }", "env.A: a NUL character "),
        ("program = 'x'\nenv = { 'A=B' = '1' }", "env.A=B: this is no name of a variable; "),
        ("program = 'x'\nexpect.exit = []", "expect.exit: no exit code is expected"),
        ("program = 'x'\nexpect.exit = 256", "expect.exit: invalid value: integer `256`"),
        ("program = 'x'\nexpect.warning = 0", "expect.warning: 0 is a success already, "),
        ("program = 'x'\nexpect.unknown = [3, 0]", "expect.unknown: 0 is a success already, "),
        (
            "program = 'x'\nexpect = { warning = [1, 3], unknown = 3 }",
            "expect.unknown: 3 is a warning already, ",
        ),
    ] {
        let errors = errors("command", options);
        assert!(errors.len() == 1 && errors[0].starts_with(told), "{options}: {errors:?}");
    }
}
