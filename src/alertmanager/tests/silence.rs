//! When a check that is not up says nothing: behind another one, or in a window of maintenance.

use super::super::board::LONGEST_HOLD;
use super::*;
use crate::model::SkipReason;

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
    assert!(scene.told().is_empty(), "the vpn has not been asked since");
    scene.runs(&vpn, Outcome::Success, Status::Up);
    assert_eq!(scene.told(), ["CheckDown db warning"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_depends_on_a_check_that_goes_down_later_is_never_told() {
    let mut scene = Scene::new();
    let vpn = informative("vpn");
    let db = info("db", Gates::READY, &["vpn"]);
    scene.runs(&db, Outcome::Success, Status::Up);
    scene.falls(&db);
    advance(20 * SECOND).await;
    assert!(scene.told().is_empty(), "the vpn has never been asked");
    scene.runs(&vpn, Outcome::Failure, Status::Unknown);
    scene.becomes(&vpn, Status::Unknown, Status::Down);
    advance(LONGEST_HOLD).await;
    assert_eq!(scene.told(), ["CheckDown vpn warning"]);

    scene.becomes(&vpn, Status::Down, Status::Up);
    assert_eq!(scene.told(), ["-CheckDown vpn warning"]);
    advance(10 * SECOND).await;
    assert!(scene.told().is_empty(), "db has not been asked since the vpn came back");
    assert!(!scene.board.record(&db, Event::Skipped(SkipReason::Overrun)), "that is no word");
    scene.runs(&db, Outcome::Failure, Status::Down);
    assert_eq!(scene.told(), ["GatingCheckDown db critical"]);
}

#[tokio::test(start_paused = true)]
async fn no_check_waits_for_others_longer_than_a_minute() {
    let mut scene = Scene::new();
    scene.falls(&info("db", Gates::NONE, &["vpn"]));
    assert!(scene.told().is_empty());
    advance(59 * SECOND).await;
    assert!(scene.told().is_empty());
    advance(SECOND).await;
    assert_eq!(scene.told(), ["CheckDown db warning"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_fires_ends_while_it_is_suppressed_or_maintained() {
    let mut scene = Scene::new();
    let vpn = informative("vpn");
    let db = info("db", Gates::NONE, &["vpn"]);
    scene.falls(&db);
    advance(LONGEST_HOLD).await;
    assert_eq!(scene.told(), ["CheckDown db warning"]);
    scene.falls(&vpn);
    advance(GRACE).await;
    assert_eq!(scene.told(), ["-CheckDown db warning", "CheckDown vpn warning"]);
    assert!(scene.board.record(&vpn, Event::Maintenance(true)));
    assert_eq!(scene.told(), ["-CheckDown vpn warning"], "it is down all the same, so db waits");
    advance(10 * MINUTE).await;
    assert!(scene.told().is_empty());
    assert!(scene.board.record(&vpn, Event::Maintenance(false)));
    assert!(scene.told().is_empty());
    advance(2 * SECOND).await;
    scene.runs(&vpn, Outcome::Failure, Status::Down);
    assert_eq!(scene.told(), ["CheckDown vpn warning"]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_ends_is_believed_though_no_run_tells() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.board.record(&db, Event::Maintenance(true));
    scene.becomes(&db, Status::Unknown, Status::Down);
    scene.board.record(&db, Event::Maintenance(true));
    advance(MINUTE).await;
    assert!(scene.told().is_empty());
    scene.board.record(&db, Event::Maintenance(false));
    assert!(scene.told().is_empty());
    advance(LONGEST_HOLD).await;
    assert_eq!(scene.told(), ["CheckDown db warning"]);
}
