//! The helpers for hosts' tests, used as such tests would.

use std::time::Duration;

use futures_util::FutureExt;
use vitalsign::testing::{Scripted, Step, eventually, eventually_service, scripted};
use vitalsign::{Gate, Health, Outcome, Reason, ServiceStatus, Status, every};

const TEN: Duration = Duration::from_secs(10);

fn over(check: &Scripted) -> Health {
    let database = every(TEN).check(check.clone());
    Health::builder("orders").check("database", database).build().expect("a valid plan")
}

/// What `assertion` panics with.
async fn complaint(assertion: impl Future) -> String {
    let caught = std::panic::AssertUnwindSafe(assertion).catch_unwind().await;
    *caught.err().expect("it panics").downcast::<String>().expect("a text")
}

#[tokio::test(start_paused = true)]
async fn each_step_is_one_run_and_the_last_is_repeated() {
    let check = scripted([
        Step::Warn("it is slow".to_owned()),
        Step::Fail(Reason::Protocol),
        Step::Hang,
        Step::Panic,
        Step::Slow(Duration::from_millis(1500)),
        Step::Slow(Duration::from_hours(1)),
    ]);
    let health = over(&check);
    let mut seen = Vec::new();
    for runs in 1..=7 {
        while check.runs() < runs {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let run = health.state().check("database").expect("it is there").last_run;
        let run = run.expect("a run");
        seen.push((run.outcome, run.reason));
    }
    let timeout = (Outcome::Timeout, Some(Reason::Timeout));
    let wanted = [
        (Outcome::Warning, None),
        (Outcome::Failure, Some(Reason::Protocol)),
        timeout,
        (Outcome::Failure, Some(Reason::Panic)),
        (Outcome::Success, None),
        timeout,
        timeout,
    ];
    assert_eq!(seen, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_script_can_be_written_on_while_it_is_played() {
    let check = Scripted::new([]);
    let health = over(&check);
    eventually(&health, "database", Status::Up).await;
    check.then(Step::Fail(Reason::Overloaded));
    let down = eventually(&health, "database", Status::Down).await;
    assert_eq!(down.last_run.expect("a run").reason, Some(Reason::Overloaded));
    assert_eq!(down.consecutive_failures, 3);
    eventually_service(&health, ServiceStatus::Down).await;

    check.then(Step::Ok);
    check.then(Step::Fail(Reason::AuthFailed));
    eventually_service(&health, ServiceStatus::Up).await;
    eventually(&health, "database", Status::Down).await;
    check.now(Step::Ok);
    eventually(&health, "database", Status::Up).await;
    assert!(health.ready());
}

#[tokio::test(start_paused = true)]
async fn a_status_that_does_not_come_is_told_with_the_runs_there_were() {
    let health = over(&scripted([Step::Ok, Step::Fail(Reason::TlsExpired)]));
    let text = complaint(eventually(&health, "database", Status::Degraded)).await;
    assert!(text.starts_with("tests/hosts/testing.rs:"), "{text}");
    assert!(text.contains("check `database` is down and not degraded after "), "{text}");
    assert_eq!(text.matches("\n  failure after ").count(), 5, "{text}");
    assert!(text.contains("tls_expired: the script says so"), "{text}");

    let text = complaint(eventually_service(&health, ServiceStatus::Up)).await;
    assert!(text.contains("the service is down and not up after "), "{text}");
    assert!(text.contains("[-]database failed: tls_expired"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_not_there_is_told_at_once() {
    let health = over(&scripted([]));
    let started = tokio::time::Instant::now();
    let text = complaint(eventually(&health, "databse", Status::Up)).await;
    assert!(text.contains(r#"there is no check `databse`; there are ["database"]"#), "{text}");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_its_time_is_waited_for() {
    let hourly = every(Duration::from_hours(1)).failure_threshold(5).gates([Gate::Startup]);
    let script = scripted([Step::Ok, Step::Hang]);
    let health = Health::builder("orders").check("report", hourly.check(script)).build();
    let health = health.expect("a valid plan");
    eventually(&health, "report", Status::Down).await;
}
