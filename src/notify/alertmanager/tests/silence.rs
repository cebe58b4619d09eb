//! When a check that is not up says nothing: behind another one, or in a window of maintenance.

use super::super::store::LONGEST_HOLD;
use super::*;
use crate::model::{Calls, SkipReason};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_check_waits_for_the_word_of_those_it_depends_on() {
    let mut scene = Scene::new();
    let vpn = info("vpn", Gates::NONE, &[]);
    let db = info("db", Gates::NONE, &["vpn"]);
    scene.runs(&vpn, Outcome::Success, Status::Up);
    scene.runs(&db, Outcome::Success, Status::Up);
    advance(SECOND).await;
    scene.falls(&db);
    advance(9 * SECOND).await;
    assert!(scene.posted().is_empty(), "the vpn has not been asked since");
    scene.runs(&vpn, Outcome::Success, Status::Up);
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
}

/// A call that the host observed just now, which left the status alone.
fn observed(outcome: Outcome, status: Status) -> Calls {
    let failed = outcome.is_failed();
    let reason = failed.then_some(Reason::NotServing);
    let (duration, now) = (Duration::from_millis(5), Instant::now());
    let mut calls = Calls::default();
    calls.add(outcome, reason, duration, now);
    if failed {
        let (message, trace) = (Some("it says no".to_owned()), None);
        let (phases, measurements) = (Vec::new(), Vec::new());
        let at = SystemTime::now();
        let run = Run { at, duration, outcome, reason, message, trace, phases, measurements };
        calls.note(&Arc::new(run), now);
    }
    calls.under(status, false);
    calls
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_observed_is_a_word_as_a_run_is() {
    let mut scene = Scene::new();
    let vpn = informative("vpn");
    let db = info("db", Gates::NONE, &["vpn"]);
    scene.runs(&vpn, Outcome::Success, Status::Up);
    scene.runs(&db, Outcome::Success, Status::Up);
    advance(SECOND).await;
    scene.falls(&db);
    advance(9 * SECOND).await;
    scene.store.record(&vpn, Event::Observed(&observed(Outcome::Failure, Status::Up)));
    assert!(scene.posted().is_empty(), "the vpn has not answered since");
    scene.store.record(&vpn, Event::Observed(&observed(Outcome::Success, Status::Up)));
    assert_eq!(scene.posted(), ["CheckDown db warning"]);

    scene.falls(&vpn);
    scene.becomes(&vpn, Status::Down, Status::Up);
    scene.posted();
    scene.store.record(&db, Event::Maintenance(true));
    scene.posted();
    scene.store.record(&db, Event::Maintenance(false));
    advance(2 * SECOND).await;
    scene.store.record(&db, Event::Observed(&observed(Outcome::Success, Status::Down)));
    assert!(scene.posted().is_empty(), "that it is still down nobody has said");
    advance(2 * SECOND).await;
    scene.store.record(&db, Event::Observed(&observed(Outcome::Failure, Status::Down)));
    let attempts = scene.attempts();
    let description = attempts[0]["annotations"]["description"].as_str().unwrap();
    assert!(description.contains("not_serving: it says no"), "{description}");
}

#[tokio::test(start_paused = true)]
async fn one_that_depends_on_a_check_that_goes_down_later_is_never_told() {
    let mut scene = Scene::new();
    let vpn = informative("vpn");
    let db = info("db", Gates::READY, &["vpn"]);
    scene.runs(&db, Outcome::Success, Status::Up);
    scene.falls(&db);
    advance(20 * SECOND).await;
    assert!(scene.posted().is_empty(), "the vpn has never been asked");
    scene.runs(&vpn, Outcome::Failure, Status::Unknown);
    scene.becomes(&vpn, Status::Unknown, Status::Down);
    advance(LONGEST_HOLD).await;
    assert_eq!(scene.posted(), ["CheckDown vpn warning"]);

    scene.becomes(&vpn, Status::Down, Status::Up);
    assert_eq!(scene.posted(), ["-CheckDown vpn warning"]);
    advance(10 * SECOND).await;
    assert!(scene.posted().is_empty(), "db has not been asked since the vpn came back");
    assert!(!scene.store.record(&db, Event::Skipped(SkipReason::Overrun)), "that is no word");
    scene.runs(&db, Outcome::Failure, Status::Down);
    assert_eq!(scene.posted(), ["GatingCheckDown db critical"]);
}

#[tokio::test(start_paused = true)]
async fn no_check_waits_for_others_longer_than_a_minute() {
    let mut scene = Scene::new();
    scene.falls(&info("db", Gates::NONE, &["vpn"]));
    assert!(scene.posted().is_empty());
    advance(59 * SECOND).await;
    assert!(scene.posted().is_empty());
    advance(SECOND).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_fires_ends_while_it_is_suppressed_or_maintained() {
    let mut scene = Scene::new();
    let vpn = informative("vpn");
    let db = info("db", Gates::NONE, &["vpn"]);
    scene.falls(&db);
    advance(LONGEST_HOLD).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    scene.falls(&vpn);
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["-CheckDown db warning", "CheckDown vpn warning"]);
    assert!(scene.store.record(&vpn, Event::Maintenance(true)));
    assert_eq!(scene.posted(), ["-CheckDown vpn warning"], "it is down all the same, so db waits");
    advance(10 * MINUTE).await;
    assert!(scene.posted().is_empty());
    assert!(scene.store.record(&vpn, Event::Maintenance(false)));
    assert!(scene.posted().is_empty());
    advance(2 * SECOND).await;
    scene.runs(&vpn, Outcome::Failure, Status::Down);
    assert_eq!(scene.posted(), ["CheckDown vpn warning"]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_ends_is_believed_though_no_run_tells() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.store.record(&db, Event::Maintenance(true));
    scene.becomes(&db, Status::Unknown, Status::Down);
    scene.store.record(&db, Event::Maintenance(true));
    advance(MINUTE).await;
    assert!(scene.posted().is_empty());
    scene.store.record(&db, Event::Maintenance(false));
    assert!(scene.posted().is_empty());
    advance(LONGEST_HOLD).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
}
