//! A process that is killed while it writes: what the store acknowledged is there afterwards, and
//! the file is whole.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use metrics_exporter_prometheus::PrometheusBuilder;
use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use vitalsign::{History, HistoryOptions, Outcome};

use super::recorder::{Recorder, run};
use super::store::{PATIENT, Store};
use crate::support::service::Service;

/// Names the file to the child.
const FILE: &str = "VITALSIGN_TEST_HISTORY";

/// How often the child is killed.
const KILLS: u32 = 200;

const WRITTEN: &str = "health_history_writes_total{outcome=\"success\"} ";

/// What the store has acknowledged, as the metrics in `text` say.
fn written(text: &str) -> usize {
    let value = text.lines().find_map(|line| line.strip_prefix(WRITTEN));
    value.map_or(0, |value| value.trim().parse().expect("a whole number"))
}

/// Writes as fast as it can until it is killed, and prints what was acknowledged; runs in a process
/// of its own, for [`a_writer_that_is_killed_loses_nothing_that_was_acknowledged`].
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).expect("it is the only one");
    let history = History::open(HistoryOptions::file(path, "orders", "one")).await;
    let history = history.expect("a history");
    println!("\nremembers {}", history.availability("database").hour.counted);
    let recorder = Recorder::of(&history, "database");
    let mut ids = Vec::new();
    let mut printed = 0;
    loop {
        for outcome in [Outcome::Failure, Outcome::Success].repeat(10) {
            let message =
                Some("a cause of some length, so that there is something to write".repeat(4));
            ids.push(recorder.turn_with(&vitalsign::Run { message, ..run(outcome) }).id);
        }
        // Reading has what waits written first.
        let _ = history.changes_after(u64::MAX >> 1, 1).await;
        // A run and a change for each id, in their order.
        let acknowledged = written(&metrics.render()) / 2;
        let new: Vec<String> = ids[printed..acknowledged].iter().map(u64::to_string).collect();
        if !new.is_empty() {
            println!("acknowledged {}", new.join(" "));
        }
        printed = acknowledged;
    }
}

/// What a child printed before it was killed.
#[derive(Default)]
struct Heard {
    /// Runs that it knew of when it began.
    remembers: Option<usize>,
    acknowledged: Vec<i64>,
}

impl Heard {
    fn line(&mut self, line: &str) {
        // Whatever was cut off by its end was not said.
        let Some(line) = line.strip_suffix('\n') else { return };
        if let Some(count) = line.strip_prefix("remembers ") {
            self.remembers = Some(count.parse().expect("a number"));
        }
        if let Some(ids) = line.strip_prefix("acknowledged ") {
            self.acknowledged.extend(ids.split(' ').map(|id| id.parse::<i64>().expect("an id")));
        }
    }
}

/// Starts a child, and kills it at another moment each `round`: while it opens the file, or while
/// it writes.
async fn killed(path: &Path, round: u32) -> Heard {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "history::kills::child", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut heard = Heard::default();
    let mut line = String::new();
    let wanted = usize::try_from(round % 4).expect("a small number") * 20;
    // The first of four is killed while it opens the file, as far as its start can be guessed.
    while wanted > 0 && heard.acknowledged.len() < wanted {
        line.clear();
        assert!(output.read_line(&mut line).expect("text") > 0, "the child ended by itself");
        heard.line(&line);
    }
    let longest = if wanted == 0 { 120 } else { 15 };
    tokio::time::sleep(Duration::from_micros(u64::from(round) * 7_919 % (longest * 1_000))).await;
    child.kill().expect("to kill it");
    child.wait().expect("its end");
    line.clear();
    while output.read_line(&mut line).expect("text") > 0 {
        heard.line(&line);
        line.clear();
    }
    heard
}

/// The ids of all changes in the file at `path` from `first` on, which must be whole.
///
/// It is a copy that is looked at: what follows has to do with what the killed process left.
async fn changes(path: &Path, first: i64) -> HashSet<i64> {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("copy.db");
    if fs::copy(path, &copy).is_err() {
        return HashSet::new();
    }
    let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    let _ = fs::copy(wal(path), wal(&copy));
    let mut conn =
        SqliteConnectOptions::new().filename(&copy).connect().await.expect("to open the copy");
    let verdict = sqlx::query("PRAGMA integrity_check").fetch_one(&mut conn).await;
    let verdict: String = verdict.expect("the file can be read").get(0);
    assert_eq!(verdict, "ok");
    let sql = "SELECT id FROM vitalsign_changes WHERE id >= ?";
    let rows = sqlx::query(sql).bind(first).fetch_all(&mut conn).await;
    conn.close().await.expect("to close it");
    // A process that was killed before it had made its tables leaves none.
    rows.unwrap_or_default().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_that_was_acknowledged() {
    let store = Store::file();
    let path = store.path();
    let mut all = Vec::new();
    let mut unheard = 0;
    for round in 0..KILLS {
        let heard = killed(&path, round).await;
        if let Some(remembered) = heard.remembers {
            assert!(remembered >= all.len(), "{remembered} of {} runs in round {round}", all.len());
        } else {
            unheard += 1;
        }
        if let Some(first) = heard.acknowledged.first() {
            let stored = changes(&path, *first).await;
            let lost = heard.acknowledged.iter().filter(|id| !stored.contains(id)).count();
            assert_eq!(lost, 0, "of {} changes in round {round}", heard.acknowledged.len());
        } else {
            changes(&path, 0).await;
        }
        all.extend(heard.acknowledged);
    }
    let stored = changes(&path, 0).await;
    assert!(all.iter().all(|id| stored.contains(id)), "some were lost later");
    assert!(all.len() >= usize::try_from(KILLS).expect("a small number") * 20, "{}", all.len());
    let history = store.open().await;
    let counted = history.availability("database").hour.counted;
    assert!(counted >= all.len() as u64, "{counted} of {} runs", all.len());
    history.close(PATIENT).await;
    println!(
        "{KILLS} kills, {unheard} of them before the file was open: {} acknowledged changes, as \
         many runs, none lost",
        all.len()
    );
}

/// Ten checks that a folder in the working directory decides.
fn config(history: &Path) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "[service]\nname = \"orders\"\ninstance = \"one\"\n[history]\nurl = \"sqlite:{}\"\n",
        history.display()
    );
    for number in 0..10 {
        let _ = write!(
            text,
            "[checks.c{number}]\nkind = \"disk\"\npath = \"place\"\nmin_free = \"0%\"\n\
             interval = \"50ms\"\ntimeout = \"40ms\"\nfailure_threshold = 1\n"
        );
    }
    text
}

#[tokio::test]
async fn a_service_that_is_killed_loses_nothing_that_was_acknowledged() {
    let store = Store::file();
    let began = SystemTime::now() - Duration::from_secs(1);
    let mut acknowledged = 0;
    for round in 0..5 {
        let service = Service::start(&config(&store.path())).await;
        let place = service.dir.path().join("place");
        let mut last = 0;
        for turn in 0.. {
            if turn % 2 == 0 {
                fs::create_dir(&place).expect("to make the folder");
            } else {
                fs::remove_dir(&place).expect("to remove it");
            }
            let wanted = if turn % 2 == 0 { 200 } else { 503 };
            service.get_until("/ready", |answer| answer.status == wanted).await;
            last = written(&service.get("/metrics").await.body);
            if last >= 100 && turn >= round {
                break;
            }
        }
        service.signal(Signal::KILL);
        service.ended().await;
        acknowledged += last;
        let stored = changes(&store.path(), 0).await.len();
        let history = store.open().await;
        let mut runs = 0;
        for number in 0..10 {
            let check = format!("c{number}");
            let step = Duration::from_secs(1);
            let steps = history.steps(&check, began, SystemTime::now(), step).await;
            runs += steps.expect("steps").iter().map(|step| step.runs).sum::<u64>();
        }
        history.close(PATIENT).await;
        let found = stored + usize::try_from(runs).expect("a small number");
        assert!(found >= acknowledged, "round {round}: {found} of {acknowledged}");
    }
}
