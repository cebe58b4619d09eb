//! Maintenance windows in a host: set at the start, replaced later.

use std::time::SystemTime;

use vitalsign::{ServiceStatus, Window};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// A window that is open now, and by the wall clock for an hour to come.
fn open() -> Window {
    let now = SystemTime::now();
    Window::once(now - HOUR, now + HOUR).expect("a window")
}

/// The health of a check that is down from its first run on, under these windows.
async fn down(windows: Vec<Window>) -> (Health, Arc<Notes>) {
    let db = Dependency::that_says(Says::No);
    let (builder, notes) = builder();
    let options = every(SECOND).failure_threshold(1);
    let health = builder.maintenance(windows).check("db", db.check(options)).build().unwrap();
    until(|| status(&health, "db") == Status::Down).await;
    (health, notes)
}

fn service(health: &Health) -> ServiceStatus {
    health.state().snapshot().status
}

#[tokio::test(start_paused = true)]
async fn a_check_is_in_a_window_from_its_first_moment_and_never_makes_the_service_not_ready() {
    let (health, notes) = down(vec![open().for_checks(["db"])]).await;
    let told = notes.of("db");
    assert_eq!(told[..2], [Told::Maintenance(true), Told::Run(Outcome::Failure)]);
    assert!(view(&health, "db").maintenance);
    assert!(health.ready());
    assert_eq!(service(&health), ServiceStatus::Degraded);
}

#[tokio::test(start_paused = true)]
async fn windows_that_are_replaced_count_at_once() {
    let (health, notes) = down(Vec::new()).await;
    assert!(!health.ready());
    health.set_maintenance(vec![open().for_checks(["other", "db"])]);
    assert!(health.ready());
    health.set_maintenance(vec![open().for_checks(["other"])]);
    assert!(!health.ready());
    assert_eq!(service(&health), ServiceStatus::Down);
    let ends = [Told::Maintenance(true), Told::Maintenance(false)];
    assert_eq!(ends.map(|told| notes.count("db", told)), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_window_without_names_is_for_checks_that_a_later_plan_brings_too() {
    let (health, notes) = down(vec![open()]).await;
    let late = Dependency::that_says(Says::No);
    let options = every(SECOND).failure_threshold(1);
    health.set_checks(vec![("late".to_owned(), late.check(options))]).unwrap();
    until(|| status(&health, "late") == Status::Down).await;
    assert!(health.ready());
    assert_eq!(notes.of("late")[0], Told::Maintenance(true));
    assert_eq!(notes.of("db").last(), Some(&Told::Removed), "which needs no end of its window");
}

#[tokio::test(start_paused = true)]
async fn checks_and_windows_change_as_one_or_not_at_all() {
    let (health, notes) = down(vec![open().for_checks(["db"])]).await;
    let db = Dependency::that_says(Says::No);
    let plan = |name: &str| vec![(name.to_owned(), db.check(every(SECOND).failure_threshold(1)))];
    assert!(health.set_checks_and_maintenance(plan("No name"), Vec::new()).is_err());
    assert!(health.ready(), "the window still holds");
    let windows = vec![open().for_checks(["new"])];
    health.set_checks_and_maintenance(plan("new"), windows).unwrap();
    until(|| status(&health, "new") == Status::Down).await;
    assert!(health.ready());
    assert_eq!(notes.of("new")[0], Told::Maintenance(true));
    assert_eq!(notes.count("db", Told::Maintenance(false)), 0, "it left within its window");
}
