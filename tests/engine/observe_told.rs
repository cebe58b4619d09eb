//! What sinks, the history and traces learn of the host's own calls.

use std::time::SystemTime;

use tracing::Instrument;
use vitalsign::{History, HistoryOptions, Window};

use super::*;
use crate::support::spans::Spans;

#[tokio::test(start_paused = true)]
async fn calls_that_change_nothing_are_told_together_once_a_second() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&dependency, every(SECOND * 3600)).await;
    until(|| notes.of("db").len() == 2).await;
    let db = health.observe("db").unwrap();
    for _ in 0..7 {
        db.success(millis(3));
    }
    db.failure(Reason::Other, millis(3));
    assert_eq!(notes.of("db").len(), 2, "nothing was told yet");
    sleep(SECOND * 2).await;
    assert_eq!(notes.of("db")[2..], [Told::Observed(7, 1)]);
    sleep(SECOND * 2).await;
    assert_eq!(notes.of("db").len(), 3, "nothing is told twice");
}

#[tokio::test(start_paused = true)]
async fn what_was_observed_before_a_change_is_told_before_it() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&dependency, every(SECOND * 3600).failure_threshold(2)).await;
    until(|| notes.of("db").len() == 2).await;
    let db = health.observe("db").unwrap();
    db.success(millis(3));
    db.failure(Reason::Other, millis(3));
    db.failure(Reason::Other, millis(3));
    db.failure(Reason::Other, millis(3));
    health.set_maintenance(vec![
        Window::once(SystemTime::now() - SECOND, SystemTime::now() + SECOND * 3600).unwrap(),
    ]);
    db.failure(Reason::Other, millis(3));
    health.set_checks(vec![("other".to_owned(), dependency.check(every(SECOND * 3600)))]).unwrap();
    let told = [
        Told::Observed(1, 1),
        Told::Run(Outcome::Failure),
        Told::Changed(Status::Up, Status::Down),
        Told::Observed(0, 1),
        Told::Maintenance(true),
        Told::Observed(0, 1),
        Told::Removed,
    ];
    assert_eq!(notes.of("db")[2..], told);
}

#[tokio::test(start_paused = true)]
async fn what_was_observed_last_is_told_when_health_ends() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&dependency, every(SECOND * 3600)).await;
    until(|| notes.of("db").len() == 2).await;
    let db = health.observe("db").unwrap();
    db.success(millis(3));
    drop(health);
    assert_eq!(notes.of("db")[2..], [Told::Observed(1, 0)]);
    db.success(millis(3));
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_being_told_after_the_check_was_changed() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, notes) = with_db(&dependency, every(SECOND * 3600)).await;
    until(|| notes.of("db").len() == 2).await;
    let db = health.observe("db").unwrap();
    db.success(millis(3));
    let changed = every(SECOND * 7200).timeout(SECOND * 60);
    dependency.now_says(Says::Never);
    health.set_checks(vec![("db".to_owned(), dependency.check(changed))]).unwrap();
    sleep(SECOND * 2).await;
    assert_eq!(notes.of("db")[2..3], [Told::Observed(1, 0)], "what the old one had observed");
    db.success(millis(3));
    db.success(millis(3));
    sleep(SECOND * 2).await;
    assert!(notes.of("db").contains(&Told::Observed(2, 0)), "{:?}", notes.of("db"));
}

#[tokio::test]
async fn calls_count_in_availability_and_in_the_past_of_the_check() {
    let options = HistoryOptions::in_memory("orders", "orders-1");
    let history = History::open(options).await.unwrap();
    let dependency = Dependency::that_says(Says::Yes);
    let builder = Health::builder("orders").history(history.clone());
    let health = builder.check("db", dependency.check(every(SECOND * 3600))).build().unwrap();
    let from = SystemTime::now() - SECOND * 5;
    until(|| view(&health, "db").last_run.is_some()).await;
    let db = health.observe("db").unwrap();
    for _ in 0..97 {
        db.success(millis(10));
    }
    db.failure(Reason::Other, millis(400));
    db.failure(Reason::Other, millis(500));
    until(|| history.availability("db").hour.counted == 100).await;
    assert_eq!(history.availability("db").hour.good, 98);
    assert_eq!(history.availability("db").month.counted, 100);
    let to = SystemTime::now() + SECOND * 5;
    // Out of single runs, and out of minutes.
    for step in [SECOND * 7, SECOND * 600] {
        let steps = history.steps("db", from, to, step).await.unwrap();
        assert_eq!(
            steps.iter().map(|s| (s.runs, s.good)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (100, 98)
        );
        let p50 = steps.iter().filter_map(|s| s.p50).max().unwrap();
        assert!((millis(9)..millis(12)).contains(&p50), "{p50:?}");
        let max = steps.iter().filter_map(|s| s.max).max().unwrap();
        assert!((millis(390)..=millis(500)).contains(&max), "{max:?}");
    }
    history.close(SECOND * 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_within_a_sampled_span_names_its_trace() {
    let (spans, _guard) = Spans::record();
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _) = with_db(&dependency, every(SECOND * 3600).failure_threshold(1)).await;
    until(|| view(&health, "db").last_run.is_some()).await;
    let db = health.observe("db").unwrap();
    let mut changes = health.subscribe().checks();
    let request = tracing::info_span!(target: "vitalsign::trace", "a request of the host's");
    let call = db.call(async { Err::<(), ()>(()) });
    assert!(call.instrument(request.clone()).await.is_err());
    drop(request);
    let change = futures_util::StreamExt::next(&mut changes).await.unwrap().unwrap();
    let ended = spans.ended();
    let of_host = ended.iter().find(|span| span.name == "a request of the host's").unwrap();
    let trace_id = u128::from_be_bytes(of_host.span_context.trace_id().to_bytes());
    assert_eq!(change.transition.trace.map(|trace| trace.trace_id), Some(trace_id));
    assert_eq!(view(&health, "db").last_run.unwrap().trace.map(|t| t.trace_id), Some(trace_id));
}
