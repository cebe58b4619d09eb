//! What comes of one run.

use std::time::SystemTime;

use vitalsign::ServiceStatus;

use super::*;

/// The last run's outcome, reason and message.
fn last(health: &Health) -> (Outcome, Option<Reason>, Option<String>) {
    let run = view(health, "db").last_run.expect("a run has ended");
    (run.outcome, run.reason, run.message.clone())
}

#[tokio::test(start_paused = true)]
async fn a_run_that_answers_is_a_success() {
    let db = Dependency::that_says(Says::YesAfter(millis(120)));
    let (health, notes) = with_db(&db, every(SECOND)).await;
    until(|| !notes.of("db").is_empty()).await;
    assert_eq!(last(&health), (Outcome::Success, None, None));
    let run = view(&health, "db").last_run.unwrap();
    assert!((millis(120)..millis(125)).contains(&run.duration), "{:?}", run.duration);
    assert_eq!(view(&health, "db").last_success_at, Some(run.at + run.duration));
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_its_reason_and_message() {
    let db = Dependency::that_says(Says::No);
    let (health, _) = with_db(&db, every(SECOND)).await;
    let expected = (Outcome::Failure, Some(Reason::NotServing), Some("not now".to_owned()));
    assert_eq!(last(&health), expected);
    more_runs(&db, 1).await;
    let view = view(&health, "db");
    assert_eq!((view.status, view.consecutive_failures), (Status::Down, 2));
    assert_eq!(view.last_success_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_cancelled_at_its_timeout_and_frees_what_it_held() {
    let db = Dependency::that_says(Says::Never);
    let (health, notes) = with_db(&db, every(SECOND).timeout(millis(300))).await;
    let started = db.asked()[0];
    assert_eq!(db.held(), 1);
    until(|| !notes.of("db").is_empty()).await;
    let took = started.elapsed();
    assert!((millis(300)..millis(305)).contains(&took), "{took:?}");
    assert_eq!(db.held(), 0);
    let message = Some("no answer within 300ms".to_owned());
    assert_eq!(last(&health), (Outcome::Timeout, Some(Reason::Timeout), message));
    db.now_says(Says::Yes);
    more_runs(&db, 1).await;
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_fails_for_panic_and_goes_on() {
    let db = Dependency::that_says(Says::Panic);
    let (health, _) = with_db(&db, every(SECOND)).await;
    let message = Some("the check panicked: a bug".to_owned());
    assert_eq!(last(&health), (Outcome::Failure, Some(Reason::Panic), message));
    assert_eq!(db.held(), 0);
    db.now_says(Says::Yes);
    more_runs(&db, 1).await;
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_while_it_is_cancelled_goes_on_too() {
    let db = Dependency::that_says(Says::PanicWhenDropped);
    let (health, notes) = with_db(&db, every(SECOND).timeout(millis(300))).await;
    until(|| !notes.of("db").is_empty()).await;
    assert_eq!(last(&health).1, Some(Reason::Panic));
    db.now_says(Says::Yes);
    more_runs(&db, 1).await;
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn a_success_slower_than_degraded_after_is_a_warning() {
    let db = Dependency::that_says(Says::YesAfter(millis(251)));
    let options = every(SECOND).degraded_after(millis(250)).timeout(millis(500));
    let (health, notes) = with_db(&db, options).await;
    until(|| !notes.of("db").is_empty()).await;
    let (outcome, reason, message) = last(&health);
    assert_eq!((outcome, reason), (Outcome::Warning, None));
    assert!(message.is_some_and(|m| m.contains("slower than degraded_after = 250ms")));
    assert_eq!(status(&health, "db"), Status::Degraded);
    assert!(health.ready(), "degraded is still 200");
    db.now_says(Says::YesAfter(millis(200)));
    more_runs(&db, 2).await;
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn a_caveat_is_a_warning() {
    let db = Dependency::that_says(Says::YesBut("the replica lags"));
    let (health, _) = with_db(&db, every(SECOND)).await;
    let caveat = Some("the replica lags".to_owned());
    assert_eq!(last(&health), (Outcome::Warning, None, caveat));
    assert_eq!(status(&health, "db"), Status::Degraded);
    assert_eq!(view(&health, "db").consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_could_not_ask_changes_neither_status_nor_streak() {
    let db = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&db, every(SECOND)).await;
    for says in [Says::No, Says::Nothing, Says::No, Says::Nothing] {
        db.now_says(says);
        more_runs(&db, 1).await;
    }
    assert_eq!(last(&health).0, Outcome::Unknown);
    assert_eq!(last(&health).1, Some(Reason::LocalResource));
    assert_eq!(status(&health, "db"), Status::Up);
    assert_eq!(view(&health, "db").consecutive_failures, 2);
    db.now_says(Says::No);
    more_runs(&db, 1).await;
    assert_eq!(status(&health, "db"), Status::Down);
    let changes = [(Status::Unknown, Status::Up), (Status::Up, Status::Down)];
    assert_eq!(notes.changes("db"), changes);
}

/// A host's, with a bug.
struct Faulty;

impl Sink for Faulty {
    fn record(&self, _: &Arc<CheckInfo>, _: Event<'_>) {
        panic!("a bug of the sink");
    }

    fn service(&self, _: ServiceStatus, _: SystemTime) {
        panic!("another");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_keeps_neither_the_check_nor_other_sinks_from_going_on() {
    let db = Dependency::that_says(Says::Yes);
    let notes = Arc::new(Notes::default());
    let builder =
        Health::builder("orders").sink(Arc::new(Faulty)).sink(Arc::clone(&notes) as Arc<dyn Sink>);
    let health = builder.check("db", db.check(every(SECOND))).build().expect("a valid plan");
    until(|| db.asked().len() > 1).await;
    db.now_says(Says::No);
    until(|| status(&health, "db") == Status::Down).await;
    assert!(!health.ready());
    assert!(notes.of("db").len() > 4, "{:?}", notes.of("db"));
}
