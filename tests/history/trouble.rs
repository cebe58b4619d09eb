//! A service whose store is in trouble: it goes on checking and answering, gives up nothing, and
//! writes what waited once the trouble is over.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sqlx::{Connection, Row};
use tempfile::TempDir;
use tokio::time::Instant;

use super::store::Store;
use crate::support::daemon::wait_for;
use crate::support::postgres::Postgres;
use crate::support::service::Service;

/// How long a lock is held; `VITALSIGN_LOCK_SECONDS` says otherwise.
const LOCKED: Duration = Duration::from_secs(4);

/// A service with one check, which a folder in its working directory decides.
struct Scene {
    service: Service,
    store: Store,
}

impl Scene {
    async fn start(store: Store) -> Self {
        let url = store.url();
        let config = format!(
            r#"
            [service]
            name = "orders"
            instance = "one"
            [server]
            drain_delay = "10ms"
            [history]
            url = "{url}"
            [checks.place]
            kind = "disk"
            path = "place"
            min_free = "0%"
            interval = "100ms"
            timeout = "50ms"
            failure_threshold = 1
            "#
        );
        let scene = Self { service: Service::start(&config).await, store };
        scene.turn(true).await;
        scene.all_is_written().await;
        scene
    }

    fn server(&mut self) -> &mut Postgres {
        match &mut self.store {
            Store::Server(server) => server,
            other => panic!("{other:?} is no server"),
        }
    }

    /// Has the check succeed or fail, and waits until `/ready` says so.
    async fn turn(&self, up: bool) {
        let place = self.service.dir.path().join("place");
        if up { fs::create_dir(place) } else { fs::remove_dir(place) }.expect("to turn it");
        let wanted = if up { 200 } else { 503 };
        self.service.get_until("/ready", |answer| answer.status == wanted).await;
    }

    /// The sum of the series that begin so.
    async fn metric(&self, series: &str) -> i64 {
        let body = self.service.get("/metrics").await.body;
        let values = body.lines().filter(|line| line.starts_with(series));
        let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        #[allow(clippy::cast_possible_truncation, reason = "they count a few things")]
        let sum = values.sum::<f64>() as i64;
        sum
    }

    /// Turns the check over and over until the store is known not to work, and no less than this
    /// long.
    async fn goes_on_while_the_store_does_not_work(&self, least: Duration) {
        let until = Instant::now() + least;
        let runs = self.metric("health_check_duration_seconds_count").await;
        let mut quickest = [Duration::MAX; 3];
        let mut turns: i64 = 0;
        while turns < 3
            || Instant::now() < until
            || self.metric("health_history_store_up").await == 1
        {
            self.turn(turns % 2 == 1).await;
            turns += 1;
            for (path, quickest) in ["/health", "/ready", "/status"].iter().zip(&mut quickest) {
                let asked = Instant::now();
                self.service.get(path).await;
                *quickest = asked.elapsed().min(*quickest);
            }
        }
        if turns % 2 == 1 {
            self.turn(true).await;
        }
        // Whoever waited for the store would always wait for a second at least.
        assert!(quickest.iter().all(|q| *q < Duration::from_secs(1)), "{quickest:?}");
        assert!(self.metric("health_check_duration_seconds_count").await >= runs + turns);
        let check = &self.service.status().await["checks"]["place"];
        assert!(check["availability"]["1h"].as_f64().is_some_and(|share| share < 1.0), "{check}");
        assert_eq!(self.metric("health_history_store_up").await, 0);
        let log = self.service.log();
        let said = |what: &str| log.matches(what).count();
        let (ceased, began) =
            (said("the history store does not work"), said("the history store works again"));
        assert_eq!(ceased, began + 1, "{log}");
    }

    /// Waits until the store has every change, and sees that nothing was given up.
    async fn all_is_written(&self) {
        wait_for("all changes to be written", async || {
            // The first status, which comes from unknown, is a change that is not counted.
            let recorder = self.metric("health_check_transitions_total").await + 1;
            self.store.number("SELECT count(*) FROM vitalsign_changes").await == recorder
        })
        .await;
        wait_for("the store to be known to work", async || {
            self.metric("health_history_store_up").await == 1
        })
        .await;
        assert_eq!(self.metric("health_history_dropped_total").await, 0);
    }
}

#[tokio::test]
async fn a_file_that_is_locked_for_long_holds_up_nothing_but_its_writing() {
    let held = std::env::var("VITALSIGN_LOCK_SECONDS");
    let held = held.map_or(LOCKED, |n| Duration::from_secs(n.parse().expect("a number")));
    let scene = Scene::start(Store::file()).await;
    let mut other = scene.store.connect().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.expect("the lock");
    scene.goes_on_while_the_store_does_not_work(held).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("to let go");
    other.close().await.expect("to close");
    scene.all_is_written().await;
}

#[tokio::test]
async fn a_server_that_is_frozen_or_killed_holds_up_nothing_but_its_writing() {
    let Some(server) = Postgres::start().await else { return };
    let mut scene = Scene::start(Store::Server(server)).await;
    scene.server().freeze();
    scene.goes_on_while_the_store_does_not_work(Duration::ZERO).await;
    scene.server().thaw();
    scene.all_is_written().await;
    scene.server().kill();
    scene.goes_on_while_the_store_does_not_work(Duration::ZERO).await;
    scene.server().restart().await;
    scene.all_is_written().await;
}

/// A file system of two mebibytes in memory; gone when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None, with a notice, where this process may not mount one.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "vitalsign-test"]).arg(dir.path());
        let output = mount.output();
        if output.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        // Not eprintln!, which the test harness keeps to itself while tests pass.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: a full disk, for {output:?}");
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).expect("a file");
        for size in [64 * 1024, 1] {
            while filler.write_all(&vec![b'.'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("to remove it");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever holds a file of it open ends with the test.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_holds_up_nothing_but_writing_and_damages_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let scene = Scene::start(Store::At(disk.0.path().join("history.db"))).await;
    disk.fill();
    scene.goes_on_while_the_store_does_not_work(Duration::ZERO).await;
    disk.free();
    scene.all_is_written().await;
    let mut conn = scene.store.connect().await;
    let verdict = sqlx::raw_sql("PRAGMA integrity_check").fetch_one(&mut conn).await;
    assert_eq!(verdict.expect("a verdict").get::<String, _>(0), "ok");
    conn.close().await.expect("to close");
    let (status, log) = scene.service.stop().await;
    assert!(status.success(), "{log}");
}
