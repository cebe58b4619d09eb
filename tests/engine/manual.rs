//! Checks that are not asked: the host sets their status.

use std::time::SystemTime;

use vitalsign::metrics::{Format, encode};
use vitalsign::{Gate, Manual, ObserveError, ServiceStatus, Window, checks};

use super::*;

/// The health of one check, `warm`, that the host sets.
fn with_warm(options: Options) -> (Health, Arc<Notes>, Manual) {
    let warm = checks::manual();
    let (builder, notes) = builder();
    let health = builder.check("warm", options.check(warm.clone())).build().unwrap();
    (health, notes, warm)
}

fn service(health: &Health) -> ServiceStatus {
    health.state().snapshot().status
}

/// The value of a series of `warm` with these further labels.
fn series(health: &Health, metric: &str, more: &str) -> Option<String> {
    let start = format!("{metric}{{check=\"warm\",kind=\"manual\"{more}}} ");
    let page = String::from_utf8(encode(health.state(), Format::Text).to_vec()).unwrap();
    page.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn before_it_is_set_the_service_starts() {
    let (health, notes, warm) = with_warm(every(SECOND));
    assert_eq!((status(&health, "warm"), warm.status()), (Status::Unknown, None));
    sleep(SECOND * 100).await;
    assert_eq!(service(&health), ServiceStatus::Starting);
    assert!(!health.state().probe(Gate::Startup).status.is_ok(), "startup waits for it");
    assert_eq!((series(&health, "health_check_up", ""), notes.of("warm")), (None, vec![]));
    warm.up();
    assert!(health.ready() && health.state().probe(Gate::Startup).status.is_ok());
    assert_eq!(series(&health, "health_check_up", "").as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn what_is_set_holds_at_once_whatever_the_thresholds_are() {
    use Status::{Degraded, Down, Unknown, Up};

    let (health, notes, warm) = with_warm(every(SECOND).failure_threshold(9).success_threshold(9));
    warm.up();
    warm.down(Reason::NotServing, "lost the lease of http://u:s3cret@h/?s3cret");
    let down = view(&health, "warm");
    assert_eq!((down.status, service(&health)), (Status::Down, ServiceStatus::Down));
    let set = down.last_run.expect("what was set");
    assert_eq!((set.reason, set.duration), (Some(Reason::NotServing), Duration::ZERO));
    assert_eq!(set.message.as_deref(), Some("lost the lease of http://h/"));
    warm.degraded("fills up");
    assert_eq!(
        (status(&health, "warm"), service(&health)),
        (Status::Degraded, ServiceStatus::Degraded)
    );
    assert!(health.ready());
    warm.up();
    warm.up();
    assert_eq!(service(&health), ServiceStatus::Up);
    let changes = [(Unknown, Up), (Up, Down), (Down, Degraded), (Degraded, Up)];
    assert_eq!(notes.of("warm"), changes.map(|(from, to)| Told::Changed(from, to)));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_was_set_is_no_run_and_never_goes_stale() {
    let (health, notes, warm) = with_warm(every(SECOND));
    let mut changes = health.subscribe().checks();
    warm.up();
    warm.down(Reason::Timeout, "the migration hangs");
    for from in [Status::Unknown, Status::Up] {
        let change = futures_util::StreamExt::next(&mut changes).await.unwrap().unwrap();
        assert_eq!(change.transition.from, from);
    }
    sleep(Duration::from_hours(48)).await;
    assert_eq!(status(&health, "warm"), Status::Down);
    assert_eq!(notes.of("warm").len(), 2, "no run, no staleness");
    for outcome in Outcome::ALL {
        let label = format!(",outcome=\"{outcome}\"");
        assert_eq!(series(&health, "health_check_runs_total", &label).as_deref(), Some("0"));
    }
    for (metric, value) in [
        ("health_check_duration_seconds_count", Some("0")),
        ("health_check_consecutive_failures", Some("0")),
        ("health_check_last_run_timestamp_seconds", None),
        ("health_check_last_result", None),
        ("health_check_up", Some("0")),
    ] {
        assert_eq!(series(&health, metric, "").as_deref(), value, "{metric}");
    }
    let to = |status: &str| {
        let label = format!(",to=\"{status}\"");
        series(&health, "health_check_transitions_total", &label).unwrap()
    };
    assert_eq!([to("up"), to("down")], ["0", "1"], "the first status is no change");
}

#[tokio::test(start_paused = true)]
async fn it_takes_part_in_maintenance_and_suppression() {
    let (builder, vpn) = (builder().0, checks::manual());
    let db = Dependency::that_says(Says::No);
    let options = every(SECOND).failure_threshold(1).depends_on("vpn").gates([]);
    let health = builder.check("vpn", vpn.clone()).check("db", db.check(options)).build().unwrap();
    vpn.down(Reason::Other, "unplugged");
    until(|| status(&health, "db") == Status::Down).await;
    assert_eq!(view(&health, "db").suppressed_by.as_deref(), Some("vpn"));
    assert!(!health.ready());
    let now = SystemTime::now();
    let hour = Duration::from_hours(1);
    let window = Window::once(now - hour, now + hour).unwrap().for_checks(["vpn"]);
    health.set_maintenance(vec![window]);
    assert!(health.ready());
    vpn.up();
    assert_eq!(view(&health, "db").suppressed_by, None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_sets_every_check_that_has_it_from_their_first_moment() {
    let (builder, notes) = builder();
    let lease = checks::manual();
    lease.degraded("a replica holds it");
    let builder = builder.check("a", lease.clone()).check("b", lease.clone());
    let health = builder.build().unwrap();
    for check in ["a", "b"] {
        assert_eq!(status(&health, check), Status::Degraded, "{check}");
    }
    let only = |name: &str| vec![(name.to_owned(), every(SECOND).check(lease.clone()))];
    health.set_checks(only("a")).unwrap();
    assert_eq!(status(&health, "a"), Status::Degraded);
    lease.up();
    assert_eq!(status(&health, "a"), Status::Up);
    assert_eq!(notes.changes("b").len(), 1, "it is gone");
    assert_eq!(notes.changes("a").len(), 2);
    drop(health);
    lease.down(Reason::Other, "nobody is left to hear it");
}

#[tokio::test(start_paused = true)]
async fn a_check_changes_from_being_asked_to_being_set_and_back() {
    let db = Dependency::that_says(Says::No);
    let (health, _) = with_db(&db, every(SECOND).failure_threshold(1)).await;
    until(|| status(&health, "db") == Status::Down).await;
    let set = checks::manual();
    let plan = |check: Declared| vec![("db".to_owned(), check)];
    health.set_checks(plan(every(SECOND).check(set.clone()))).unwrap();
    sleep(SECOND * 100).await;
    assert_eq!(status(&health, "db"), Status::Unknown, "its last run is long over");
    set.up();
    sleep(SECOND * 100).await;
    assert_eq!(status(&health, "db"), Status::Up);
    assert_eq!(health.observe("db").unwrap_err(), ObserveError::Manual("db".to_owned()));
    health.set_checks(plan(db.check(every(SECOND).failure_threshold(1)))).unwrap();
    until(|| status(&health, "db") == Status::Down).await;
    assert_eq!(view(&health, "db").last_run.unwrap().message.as_deref(), Some("not now"));
}
