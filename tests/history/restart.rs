//! What survives the end of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use vitalsign::history::{Incident, IncidentFilter};
use vitalsign::{Failure, Health, History, Outcome, Reason, ServiceStatus, Status, every};

use super::recorder::Recorder;
use super::store::{PATIENT, Store};
use crate::support::daemon::wait_for;

/// A service of one check that succeeds while `good`.
fn service(history: &History, name: &str, good: &Arc<AtomicBool>) -> Health {
    let good = Arc::clone(good);
    let check = every(Duration::from_millis(100)).timeout(Duration::from_millis(50));
    let check = check.failure_threshold(1).from_fn(move || {
        let good = good.load(Ordering::Acquire);
        async move { if good { Ok(()) } else { Err(Failure::new(Reason::Other, "it is off")) } }
    });
    let health = Health::builder("orders").history(history.clone()).check(name, check).build();
    health.expect("a plan")
}

async fn is(health: &Health, status: Status) {
    let found = || health.state().snapshot().checks.iter().all(|c| c.status == status);
    wait_for("the status", async || found()).await;
}

async fn incidents(history: &History) -> Vec<Incident> {
    let all = IncidentFilter { limit: 100, ..IncidentFilter::default() };
    history.incidents(&all).await.expect("a page").incidents
}

fn since(health: &Health) -> (SystemTime, SystemTime) {
    let snapshot = health.state().snapshot();
    (snapshot.since, snapshot.checks[0].since)
}

fn millis(at: SystemTime) -> u128 {
    at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis()
}

#[tokio::test]
async fn a_status_that_is_the_same_holds_since_before() {
    for store in Store::each().await {
        let good = Arc::new(AtomicBool::new(true));
        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Up).await;
        let before = since(&health);
        drop(health);
        history.close(PATIENT).await;

        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Up).await;
        let after = since(&health);
        assert_eq!(millis(after.0), millis(before.0), "{store:?}: the service");
        assert_eq!(millis(after.1), millis(before.1), "{store:?}: the check");
        good.store(false, Ordering::Release);
        is(&health, Status::Down).await;
        assert!(since(&health).1 > after.1);
        good.store(true, Ordering::Release);
        is(&health, Status::Up).await;
        assert!(since(&health).1 > after.1, "{store:?}: a remembered status is used once");
        drop(health);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn a_status_that_differs_holds_since_its_own_first_run() {
    for store in Store::each().await {
        let good = Arc::new(AtomicBool::new(true));
        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Up).await;
        drop(health);
        history.close(PATIENT).await;

        good.store(false, Ordering::Release);
        let restarted = SystemTime::now();
        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Down).await;
        assert_eq!(health.state().snapshot().status, ServiceStatus::Down);
        assert!(since(&health).0 >= restarted && since(&health).1 >= restarted, "{store:?}");
        drop(health);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn an_open_incident_goes_on_and_ends_at_the_first_good_run() {
    for store in Store::each().await {
        let good = Arc::new(AtomicBool::new(false));
        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Down).await;
        drop(health);
        history.close(PATIENT).await;
        let begun = incidents(&store.open().await).await.remove(0);

        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Down).await;
        assert_eq!(
            incidents(&history).await,
            std::slice::from_ref(&begun),
            "{store:?}: it goes on"
        );
        drop(health);
        history.close(PATIENT).await;

        good.store(true, Ordering::Release);
        let restarted = SystemTime::now();
        let history = store.open().await;
        let health = service(&history, "database", &good);
        is(&health, Status::Up).await;
        let [ended] = incidents(&history).await.try_into().expect("one incident");
        assert_eq!((ended.start, ended.reason), (begun.start, Some(Reason::Other)), "{store:?}");
        assert!(ended.end.is_some_and(|end| end >= restarted), "{ended:?}");
        drop(health);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn an_incident_of_a_check_that_is_asked_no_longer_ends() {
    for store in Store::each().await {
        let history = store.open().await;
        Recorder::of(&history, "gone").turn(Outcome::Failure);
        history.close(PATIENT).await;
        let history = store.open().await;
        let health = service(&history, "other", &Arc::new(AtomicBool::new(true)));
        let [incident] = incidents(&history).await.try_into().expect("one incident");
        assert!(incident.end.is_some(), "{store:?}: {incident:?}");
        drop(health);
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn what_is_not_closed_is_on_disk_within_seconds_all_the_same() {
    for store in Store::each().await {
        let history = store.open().await;
        let recorder = Recorder::of(&history, "database");
        recorder.turn(Outcome::Success);
        wait_for("the first change", async || {
            store.number("SELECT count(*) FROM vitalsign_changes").await == 1
        })
        .await;
        recorder.run(Outcome::Success);
        wait_for("the run after it", async || {
            store.number("SELECT count(*) FROM vitalsign_runs").await == 2
        })
        .await;
        // As after a crash: the first one never says good-bye.
        let after = store.open().await;
        assert_eq!(after.availability("database").hour.counted, 2, "{store:?}");
        after.close(PATIENT).await;
        history.close(PATIENT).await;
    }
}
