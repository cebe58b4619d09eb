//! What runs add up to: a check's status, the service's, and what probes answer.

use vitalsign::{Gate, ServiceStatus};

use super::*;

fn probe(health: &Health, gate: Gate) -> ServiceStatus {
    health.state().answer(gate, &[""; 0]).status
}

fn service(health: &Health) -> ServiceStatus {
    health.state().snapshot().status
}

/// `probe` without `check`.
fn probe_without(health: &Health, gate: Gate, check: &str) -> ServiceStatus {
    health.state().answer(gate, &[check]).status
}

#[tokio::test(start_paused = true)]
async fn without_checks_it_is_up() {
    let health = Health::builder("orders").build().unwrap();
    let snapshot = health.state().snapshot();
    assert_eq!(snapshot.status, ServiceStatus::Up);
    assert!(snapshot.live && snapshot.ready && snapshot.started);
}

#[tokio::test(start_paused = true)]
async fn before_its_first_run_has_ended_a_gating_check_keeps_the_service_starting() {
    let db = Dependency::that_says(Says::YesAfter(millis(300)));
    let (health, _) = with_db(&db, every(SECOND)).await;
    let snapshot = health.state().snapshot();
    assert_eq!(snapshot.status, ServiceStatus::Starting);
    assert!(snapshot.live && !snapshot.ready && !snapshot.started);
    assert_eq!(probe(&health, Gate::Ready), ServiceStatus::Starting);
    assert_eq!(probe(&health, Gate::Startup), ServiceStatus::Starting);
    assert_eq!(probe(&health, Gate::Health), ServiceStatus::Up);
    sleep(millis(305)).await;
    let snapshot = health.state().snapshot();
    assert_eq!(snapshot.status, ServiceStatus::Up);
    assert!(snapshot.live && snapshot.ready && snapshot.started);
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_turn_readiness_down_and_one_success_brings_it_back() {
    let db = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&db, every(SECOND)).await;
    db.now_says(Says::No);
    for _ in 0..2 {
        more_runs(&db, 1).await;
        assert!(health.ready());
    }
    more_runs(&db, 1).await;
    assert!(!health.ready());
    assert_eq!(probe(&health, Gate::Ready), ServiceStatus::Down);
    assert_eq!(probe(&health, Gate::Health), ServiceStatus::Up, "no dependency affects liveness");
    assert_eq!(probe_without(&health, Gate::Ready, "db"), ServiceStatus::Up);
    db.now_says(Says::Yes);
    more_runs(&db, 1).await;
    assert!(health.ready());
    assert_eq!(
        notes.changes("db"),
        [(Status::Unknown, Status::Up), (Status::Up, Status::Down), (Status::Down, Status::Up)]
    );
}

#[tokio::test(start_paused = true)]
async fn thresholds_of_its_own_count_runs_in_a_row() {
    let db = Dependency::that_says(Says::Yes);
    let (health, _) = with_db(&db, every(SECOND).failure_threshold(2).success_threshold(3)).await;
    let mut seen = String::new();
    for says in "nynnyynyyy".chars() {
        db.now_says(if says == 'y' { Says::Yes } else { Says::No });
        more_runs(&db, 1).await;
        seen.push(if status(&health, "db") == Status::Down { 'x' } else { 'u' });
    }
    assert_eq!(seen, "uuuxxxxxxu");
}

#[tokio::test(start_paused = true)]
async fn an_informative_check_degrades_the_service_and_shows_on_no_probe() {
    let cache = Dependency::that_says(Says::No);
    let (builder, _) = builder();
    let health = builder.check("cache", cache.check(every(SECOND).gates([]))).build().unwrap();
    assert_eq!(service(&health), ServiceStatus::Degraded, "it is not up, and nothing waits for it");
    more_runs(&cache, 2).await;
    assert_eq!(status(&health, "cache"), Status::Down);
    assert_eq!(service(&health), ServiceStatus::Degraded);
    for gate in [Gate::Health, Gate::Ready, Gate::Startup] {
        let answer = health.state().answer(gate, &[""; 0]);
        assert_eq!((answer.status, answer.checks.len()), (ServiceStatus::Up, 0), "{gate}");
    }
    assert!(health.ready());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_gates_liveness_turns_readiness_down_too() {
    let disk = Dependency::that_says(Says::No);
    let (builder, _) = builder();
    let options = every(SECOND).gates([Gate::Health]);
    let health = builder.check("disk", disk.check(options)).build().unwrap();
    assert_eq!(probe(&health, Gate::Health), ServiceStatus::Degraded, "it has not run");
    more_runs(&disk, 1).await;
    let snapshot = health.state().snapshot();
    assert_eq!(snapshot.status, ServiceStatus::Down);
    assert!(!snapshot.live && !snapshot.ready);
    assert_eq!(probe(&health, Gate::Health), ServiceStatus::Down);
    assert_eq!(probe(&health, Gate::Ready), ServiceStatus::Down);
    assert_eq!(probe_without(&health, Gate::Ready, "disk"), ServiceStatus::Up);
}

#[tokio::test(start_paused = true)]
async fn startup_waits_for_its_own_gates_and_for_the_first_run_of_readiness_then_stays() {
    let db = Dependency::that_says(Says::No);
    let warm = Dependency::that_says(Says::No);
    let (builder, _) = builder();
    let health = builder
        .check("db", db.check(every(SECOND)))
        .check("warm", warm.check(every(SECOND).gates([Gate::Startup])))
        .build()
        .unwrap();
    more_runs(&db, 2).await;
    more_runs(&warm, 1).await;
    assert_eq!(probe(&health, Gate::Startup), ServiceStatus::Down);
    assert_eq!(probe_without(&health, Gate::Startup, "warm"), ServiceStatus::Up);
    assert!(!health.state().snapshot().started);
    warm.now_says(Says::YesBut("cold"));
    more_runs(&warm, 1).await;
    assert!(health.state().snapshot().started, "a database that is down delays no startup");
    assert!(!health.ready());
    warm.now_says(Says::No);
    more_runs(&warm, 4).await;
    assert_eq!(status(&health, "warm"), Status::Down);
    assert!(health.state().snapshot().started);
    assert!(probe(&health, Gate::Startup).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_check_is_suppressed_while_one_it_depends_on_is_down() {
    let vpn = Dependency::that_says(Says::Yes);
    let db = Dependency::that_says(Says::No);
    let (builder, _) = builder();
    let once = || every(SECOND).failure_threshold(1);
    let health = builder
        .check("vpn", vpn.check(once()))
        .check("db", db.check(once().depends_on("vpn")))
        .build()
        .unwrap();
    more_runs(&db, 1).await;
    more_runs(&vpn, 1).await;
    assert_eq!(view(&health, "db").suppressed_by, None);
    vpn.now_says(Says::No);
    more_runs(&vpn, 1).await;
    assert_eq!(view(&health, "db").suppressed_by.as_deref(), Some("vpn"));
    assert_eq!(view(&health, "vpn").suppressed_by, None);
    let runs = db.asked().len();
    sleep(SECOND * 3).await;
    assert!(db.asked().len() >= runs + 2, "it goes on running");
    vpn.now_says(Says::Yes);
    more_runs(&vpn, 1).await;
    assert_eq!(view(&health, "db").suppressed_by, None);
}

#[tokio::test(start_paused = true)]
async fn a_draining_service_is_live_and_not_ready() {
    let db = Dependency::that_says(Says::Yes);
    let (health, _) = with_db(&db, every(SECOND)).await;
    health.drain();
    assert!(!health.ready());
    assert_eq!(service(&health), ServiceStatus::Draining);
    assert_eq!(probe(&health, Gate::Ready), ServiceStatus::Draining);
    assert_eq!(probe(&health, Gate::Health), ServiceStatus::Up);
    assert_eq!(probe(&health, Gate::Startup), ServiceStatus::Up);
    let runs = db.asked().len();
    sleep(SECOND * 3).await;
    assert!(db.asked().len() >= runs + 2, "checks go on");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_not_heard_for_three_intervals_and_its_timeout_is_unknown() {
    let db = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&db, every(SECOND).timeout(millis(500))).await;
    more_runs(&db, 1).await;
    let heard = *db.asked().last().unwrap();
    db.now_says(Says::Nothing);
    tokio::time::sleep_until(heard + millis(3499)).await;
    assert_eq!(status(&health, "db"), Status::Up);
    tokio::time::sleep_until(heard + millis(3502)).await;
    assert_eq!(status(&health, "db"), Status::Unknown);
    assert!(!health.ready(), "unknown after having run");
    assert_eq!(probe(&health, Gate::Ready), ServiceStatus::Down);
    assert_eq!(notes.changes("db"), [(Status::Unknown, Status::Up), (Status::Up, Status::Unknown)]);
    db.now_says(Says::Yes);
    more_runs(&db, 1).await;
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn staleness_is_reported_although_nothing_runs_and_nobody_reads() {
    let db = Dependency::that_says(Says::Yes);
    let hog = Dependency::that_says(Says::Never);
    let (builder, notes) = builder();
    let _health = builder
        .max_concurrent_runs(1)
        .check("db", db.check(every(SECOND).timeout(millis(500))))
        .check("hog", hog.check(every(SECOND * 100).timeout(SECOND * 50)))
        .build()
        .unwrap();
    sleep(SECOND * 6).await;
    assert_eq!(db.asked().len(), 1, "the other one holds the only place");
    assert_eq!(notes.changes("db").last(), Some(&(Status::Up, Status::Unknown)));
}
