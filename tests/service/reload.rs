//! A configuration that changes while the service runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::daemon::{free_port, wait_for};
use crate::support::service::{Service, command, seen_locally};

pub(super) const RELOADED: &str = "configuration reloaded";
pub(super) const WRONG: &str = "the configuration is wrong";
pub(super) const REFUSED: &str = "configuration not reloaded: the one before stays in force";

/// A check that is up.
pub(super) const OWN: &str = "[checks.own]\nkind = \"sqlite\"\npath = \"own.db\"\ncreate = true\n";

/// A check of `port`, asked often; nobody listens on a free one.
pub(super) fn tcp(name: &str, port: u16, more: &str) -> String {
    format!(
        "[checks.{name}]\nkind = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n\
         interval = \"200ms\"\n{more}\n"
    )
}

/// A listener that never says anything, so that a run lasts as long as its timeout.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

fn waits_for_words(name: &str, port: u16) -> String {
    format!(
        "[checks.{name}]\nkind = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n\
         expect.regex = \"ready\"\ninterval = \"60s\"\ntimeout = \"3s\"\nfailure_threshold = 1\n"
    )
}

/// Replaces a file at once, as careful editors do.
pub(super) fn put(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).expect("a file");
    fs::rename(fresh, path).expect("in its place");
}

impl Service {
    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn reconfigure(&self, text: &str) {
        put(&self.file("vitalsign.toml"), &seen_locally(text));
        self.signal(Signal::HUP);
    }

    /// The log's lines of this message.
    pub(super) fn said(&self, message: &str) -> Vec<Value> {
        self.log_lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Waits until there are as many such lines, and returns the last.
    pub(super) async fn says(&self, message: &str, times: usize) -> Value {
        wait_for(message, async || self.said(message).len() >= times).await;
        self.said(message).pop().expect("a line")
    }

    async fn sample(&self, series: &str) -> f64 {
        let page = self.get("/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
        line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().expect("a number")
    }

    async fn reloads(&self, outcome: &str) -> String {
        let series = format!("health_config_reloads_total{{outcome=\"{outcome}\"}}");
        self.sample(&series).await.to_string()
    }

    async fn last_reload(&self) -> (bool, f64) {
        let when = "health_config_last_reload_success_timestamp_seconds";
        (self.sample("health_config_last_reload_successful").await > 0.5, self.sample(when).await)
    }
}

/// Reloads that succeeded, and that failed.
async fn both(service: &Service) -> [String; 2] {
    [service.reloads("success").await, service.reloads("failure").await]
}

/// Added, changed, removed and untouched checks.
pub(super) fn counts(line: &Value) -> [u64; 4] {
    ["added", "changed", "removed", "untouched"].map(|key| line[key].as_u64().expect("a count"))
}

#[tokio::test]
async fn a_signal_brings_a_valid_file_into_force_as_a_difference() {
    let (kept, gone) = (free_port(), free_port());
    let informative = "gates = []";
    let kept = tcp("kept", kept, informative);
    let gone = tcp("gone", gone, informative);
    let service = Service::start(&format!("{OWN}{kept}{gone}")).await;
    assert_eq!(both(&service).await, ["0", "0"]);
    let (successful, at_start) = service.last_reload().await;
    assert!(successful && at_start > 1.0e9, "{at_start}");
    let streak = |status: &Value| status["checks"]["kept"]["consecutive_failures"].as_u64();
    wait_for("a streak", async || streak(&service.status().await) >= Some(3)).await;
    service.get_until("/ready", |answer| answer.status == 200).await;
    let before = service.status().await;
    let runs = "health_check_runs_total{check=\"kept\",kind=\"tcp\",outcome=\"failure\"}";
    let ran = service.sample(runs).await;

    let changed = format!("{OWN}interval = \"7s\"\n");
    let added = tcp("added", free_port(), informative);
    service.reconfigure(&format!("{changed}{kept}{added}"));
    let line = service.says(RELOADED, 1).await;
    assert_eq!(counts(&line), [1, 1, 1, 1], "{line}");

    let after = service.status().await;
    let (was, is) = (&before["checks"]["kept"], &after["checks"]["kept"]);
    assert_eq!(was["since"], is["since"]);
    assert!(streak(&after) >= streak(&before), "{was} {is}");
    assert!(service.sample(runs).await >= ran);
    assert_eq!(after["checks"]["own"]["interval_seconds"], 7);
    assert_eq!(service.get("/ready/gone").await.status, 404);
    assert_eq!(service.get("/status/gone").await.status, 404);
    let page = service.get("/metrics").await.body;
    assert!(page.contains("check=\"added\"") && !page.contains("check=\"gone\""), "{page}");
    assert_eq!(both(&service).await, ["1", "0"]);
    let (successful, at_reload) = service.last_reload().await;
    assert!(successful && at_reload > at_start, "{at_reload}");

    service.signal(Signal::HUP);
    let line = service.says(RELOADED, 2).await;
    assert_eq!(counts(&line), [0, 0, 0, 3], "{line}");
}

#[tokio::test]
async fn a_new_check_gates_nothing_until_its_first_run() {
    let (_listener, port) = silent().await;
    let service = Service::start(OWN).await;
    service.ready_is(200, r#"{"status":"up","own":"up"}"#).await;
    service.reconfigure(&format!("{OWN}{}", waits_for_words("new", port)));
    service.says(RELOADED, 1).await;
    let mut asked_before = 0;
    wait_for("its first run", async || {
        let ready = service.get("/ready").await;
        let ran = !service.status().await["checks"]["new"]["last_run"].is_null();
        if !ran {
            asked_before += 1;
            assert_eq!(ready.status, 200, "{}", ready.body);
        }
        ran
    })
    .await;
    assert!(asked_before > 0, "nobody asked in time");
    service.ready_is(503, r#"{"status":"down","new":"down","own":"up"}"#).await;
}

#[tokio::test]
async fn a_changed_check_keeps_its_status_until_its_own_run() {
    let (_listener, port) = silent().await;
    let service = Service::start(&format!("{OWN}{}", tcp("peer", port, ""))).await;
    service.ready_is(200, r#"{"status":"up","own":"up","peer":"up"}"#).await;
    service.reconfigure(&format!("{OWN}{}", waits_for_words("peer", port)));
    let line = service.says(RELOADED, 1).await;
    assert_eq!(counts(&line), [0, 1, 0, 1], "{line}");
    let mut asked_before = 0;
    wait_for("its own run", async || {
        let one = service.get("/ready/peer").await;
        let peer = &service.status().await["checks"]["peer"];
        let ran = peer["last_run"]["reason"] == "timeout";
        if !ran {
            asked_before += 1;
            assert_eq!(one.status, 200, "{peer}");
        }
        ran
    })
    .await;
    assert!(asked_before > 0, "nobody asked in time");
    service.ready_is(503, r#"{"status":"down","own":"up","peer":"down"}"#).await;
}

#[tokio::test]
async fn what_is_wrong_changes_nothing_and_says_so() {
    let service = Service::start(OWN).await;
    service.ready_is(200, r#"{"status":"up","own":"up"}"#).await;
    let (_, loaded_at) = service.last_reload().await;
    let secret = "hunter2";
    let wrong = [
        ("[checks.own]\nkind = \"sqlit\"\npath = \"own.db\"\n", "toml:2:8: checks.own.kind: "),
        (
            "[checks.own]\nkind = \"postgres\"\nurl = \"hunter2://hunter2\"\n",
            "toml:3:7: checks.own.url: ",
        ),
        ("[checks.own", "toml:1:"),
        ("", "the file is empty"),
        (" \n\t\n# no checks yet\n", "the file is empty"),
        ("[service]\nname = \"x\"\n", "no check is left"),
        (&format!("{OWN}enabled = false\n"), "no check is left"),
    ];
    for (text, error) in &wrong {
        let refused = service.said(REFUSED).len();
        service.reconfigure(text);
        let line = service.says(REFUSED, refused + 1).await;
        assert!(line["errors"].as_u64() >= Some(1), "{line}");
        let found = service.said(WRONG);
        let last = found.last().expect("an error")["error"].as_str().expect("text").to_owned();
        assert!(last.contains("vitalsign.toml:") && last.contains(error), "{last}");
        assert_eq!(service.last_reload().await, (false, loaded_at));
        assert_eq!(service.get("/ready").await.body, r#"{"status":"up","own":"up"}"#);
    }
    fs::remove_file(service.file("vitalsign.toml")).expect("it was there");
    service.signal(Signal::HUP);
    service.says(REFUSED, wrong.len() + 1).await;
    let [successes, failures] = both(&service).await;
    assert_eq!(successes, "0");
    assert!(failures.parse::<usize>().is_ok_and(|n| n > wrong.len()), "{failures}");

    service.reconfigure("[checks.a]\n[checks.b]\n");
    wait_for("every error of the file", async || {
        let found = service.said(WRONG);
        ["checks.a.kind", "checks.b.kind"]
            .iter()
            .all(|path| found.iter().any(|l| l["error"].as_str().is_some_and(|e| e.contains(path))))
    })
    .await;
    service.reconfigure(OWN);
    let line = service.says(RELOADED, 1).await;
    assert_eq!(counts(&line), [0, 0, 0, 1], "{line}");
    assert!(service.last_reload().await.0);
    let log = service.log();
    assert!(!log.contains(secret), "{log}");
}

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

#[tokio::test]
async fn rotated_tokens_take_effect_and_other_checks_are_left_alone() {
    let port = free_port();
    let text = format!(
        "[server]\ntoken = {{ file = \"token\" }}\nmetrics_token = {{ file = \"scrape\" }}\n\
         {OWN}[checks.db]\nkind = \"postgres\"\nurl = {{ file = \"url\" }}\ngates = []\n"
    );
    let service = Service::start_with(&text, |command| {
        let folder = command.get_current_dir().expect("one").to_owned();
        for (name, secret) in [
            ("token", "old-token"),
            ("scrape", "old-token"),
            ("url", &format!("postgres://u:old@127.0.0.1:{port}/")),
        ] {
            fs::write(folder.join(name), secret).expect("a file");
        }
    })
    .await;
    let ask = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        service.get_with(path, &[FORWARDED, ("authorization", &bearer)]).await
    };
    let shown = |body: &str| body.contains("\"instance\"");
    assert!(shown(&ask("/status", "old-token").await.body));
    assert_eq!(ask("/metrics", "old-token").await.status, 200);

    fs::write(service.file("token"), "new-token\n").expect("a file");
    fs::write(service.file("scrape"), "new-too\n").expect("a file");
    let line = service.says(RELOADED, 1).await;
    assert_eq!(counts(&line), [0, 0, 0, 2], "{line}");
    for path in ["/status", "/metrics"] {
        assert_eq!(ask(path, "old-token").await.status, 401, "{path}");
    }
    assert!(shown(&ask("/status", "new-token").await.body));
    assert_eq!(ask("/metrics", "new-too").await.status, 200);
    assert_eq!(ask("/metrics", "new-token").await.status, 401);

    put(&service.file("url"), &format!("postgres://u:rotated@127.0.0.1:{port}/"));
    let line = service.says(RELOADED, 2).await;
    assert_eq!(counts(&line), [0, 1, 0, 1], "{line}");

    put(&service.file("vitalsign.toml"), &format!("[server]\ndetails = \"never\"\n{OWN}"));
    service.says(RELOADED, 3).await;
    assert!(!shown(&service.get("/status").await.body));
    assert_eq!(service.get("/metrics").await.status, 200);
    assert!(!service.log().contains("rotated"));
}

#[tokio::test]
async fn a_secret_that_comes_late_makes_a_refused_file_right() {
    let clock = tcp("clock", free_port(), "gates = []");
    let service = Service::start(&format!("{OWN}{clock}")).await;
    let text = format!("[server]\ntoken = {{ file = \"late\" }}\n{OWN}");
    service.reconfigure(&text);
    let refused = service.says(REFUSED, 1).await;
    assert_eq!(refused["trigger"], "signal");
    // Enough looks at the files pass, going by what a check counts, to see that once is enough.
    let runs = "health_check_runs_total{check=\"clock\",kind=\"tcp\",outcome=\"failure\"}";
    let now = service.sample(runs).await;
    wait_for("time to pass", async || service.sample(runs).await >= now + 20.0).await;
    assert_eq!(service.said(REFUSED).len(), 1, "the same file is refused once");
    fs::write(service.file("late"), "token").expect("a file");
    service.says(RELOADED, 1).await;
    assert!(service.last_reload().await.0);
}

/// Listens where the file says.
fn without_flag(started: &mut Command) {
    let folder = started.get_current_dir().expect("one").to_owned();
    *started = command(&folder, &["serve"]);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_not_applied() {
    let start = format!("[server]\nlisten = \"0.0.0.0:0\"\n{OWN}");
    let service = Service::start_with(&start, without_flag).await;
    let other = format!(
        "[service]\nname = \"other-name\"\n[server]\nlisten = \"127.0.0.1:1\"\n\
         max_connections = 7654321\ndrain_delay = \"77ms\"\n[telemetry]\nlog_level = \"error\"\n\
         traces_endpoint = \"http://127.0.0.1:1/hunter2\"\n{OWN}"
    );
    service.reconfigure(&other);
    let line = service.says("a changed option needs a restart", 1).await;
    let options = "service.name, server.listen, server.drain_delay, server.max_connections, \
                   telemetry.log_level, telemetry.traces_endpoint";
    assert_eq!(line["options"], options);
    assert_eq!(line["level"], "WARN");
    service.says(RELOADED, 1).await;
    assert_eq!(service.status().await["service"]["name"], "vitalsign");
    let log = service.log();
    for value in ["hunter2", "other-name", "7654321"] {
        assert!(!log.contains(value), "{value}: {log}");
    }

    // Valid at a start, but the listener that is open is for everybody.
    service
        .reconfigure(&format!("[server]\nlisten = \"127.0.0.1:1\"\ndetails = \"always\"\n{OWN}"));
    service.says(REFUSED, 1).await;
    let found = service.says(WRONG, 1).await;
    assert!(
        found["error"].as_str().is_some_and(|e| e.contains("toml:3:11: server.details: ")),
        "{found}"
    );
    let forwarded = service.get_with("/status", &[FORWARDED]).await;
    assert!(!forwarded.body.contains("\"instance\""), "{}", forwarded.body);
}

#[tokio::test]
async fn a_signal_while_it_drains_is_ignored() {
    let text = format!("[server]\ndrain_delay = \"700ms\"\n{OWN}");
    let service = Service::start(&text).await;
    service.signal(Signal::TERM);
    service.get_until("/ready", |answer| answer.body.contains("draining")).await;
    service.reconfigure(&format!("{text}{}", tcp("new", 9, "")));
    service.says("SIGHUP is ignored while the service stops", 1).await;
    assert_eq!(service.get("/status/new").await.status, 404);
    let (status, log) = service.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains(RELOADED), "{log}");
}

#[tokio::test]
async fn the_built_in_configuration_gives_way_to_a_file_that_appears() {
    let service = Service::start("").await;
    service.signal(Signal::HUP);
    let nothing = "nothing to reload: the built-in configuration runs";
    service.says(nothing, 1).await;
    assert_eq!(both(&service).await, ["0", "0"]);
    fs::write(service.file("vitalsign.toml"), OWN).expect("a file");
    let line = service.says(RELOADED, 1).await;
    assert_eq!(counts(&line), [1, 0, 1, 0], "{line}");
    assert_eq!(service.get("/status/database").await.status, 404);
}
