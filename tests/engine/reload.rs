//! What a new plan changes, and what it leaves alone.

use vitalsign::{Gate, ServiceStatus};

use super::*;

const FIRST: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

/// A plan of `db` alone.
fn db(dependency: &Arc<Dependency>, options: Options, digest: [u8; 32]) -> Vec<(String, Declared)> {
    vec![("db".to_owned(), dependency.check(options).revision(digest))]
}

async fn planned(dependency: &Arc<Dependency>, options: Options) -> (Health, Arc<Notes>) {
    let (builder, notes) = builder();
    let health = builder.check("db", dependency.check(options).revision(FIRST)).build().unwrap();
    until(|| !dependency.asked().is_empty()).await;
    (health, notes)
}

#[tokio::test(start_paused = true)]
async fn an_untouched_check_keeps_its_streak_its_deadlines_and_its_run_in_flight() {
    let old = Dependency::that_says(Says::Yes);
    let (health, notes) = planned(&old, every(SECOND)).await;
    old.now_says(Says::No);
    more_runs(&old, 2).await;
    let since = view(&health, "db").since;
    old.now_says(Says::YesAfter(millis(300)));
    more_runs(&old, 1).await;

    let new = Dependency::that_says(Says::Yes);
    let other = Dependency::that_says(Says::Yes);
    let mut plan = db(&new, every(SECOND), FIRST);
    plan.insert(0, ("cache".to_owned(), other.check(every(SECOND))));
    health.set_checks(plan).unwrap();
    assert_eq!(view(&health, "db").consecutive_failures, 2);
    assert_eq!(old.held(), 1, "its run goes on");
    sleep(millis(310)).await;
    assert_eq!(old.answered(), 2);
    assert_eq!(view(&health, "db").last_run.unwrap().outcome, Outcome::Success);
    assert_eq!(view(&health, "db").since, since);
    more_runs(&old, 2).await;
    let starts = old.asked();
    assert!(starts[1..].windows(2).all(|pair| pair[1] - pair[0] == SECOND), "{starts:?}");
    assert_eq!(new.asked(), [], "the first declaration still stands for it");
    assert_eq!(notes.count("db", Told::Removed), 0);
}

#[tokio::test(start_paused = true)]
async fn without_digests_only_the_same_object_is_the_same_check() {
    let db = Dependency::that_says(Says::Yes);
    let (builder, _) = builder();
    let declared = db.check(every(SECOND * 10));
    let health = builder.check("db", declared.clone()).build().unwrap();
    more_runs(&db, 1).await;
    health.set_checks(vec![("db".to_owned(), declared)]).unwrap();
    sleep(SECOND).await;
    assert_eq!(db.asked().len(), 1, "untouched");
    health.set_checks(vec![("db".to_owned(), db.check(every(SECOND * 10)))]).unwrap();
    sleep(SECOND).await;
    assert_eq!(db.asked().len(), 2, "another one starts afresh");
}

#[tokio::test(start_paused = true)]
async fn a_removed_check_is_gone_and_what_it_still_does_is_dropped() {
    let old = Dependency::that_says(Says::Yes);
    let (health, notes) = planned(&old, every(SECOND)).await;
    old.now_says(Says::YesAfter(millis(300)));
    more_runs(&old, 1).await;
    let runs = notes.of("db").len();
    health.set_checks(Vec::new()).unwrap();
    assert!(health.state().check("db").is_none() && !health.state().knows("db"));
    assert_eq!(health.state().snapshot().status, ServiceStatus::Up);
    sleep(SECOND * 3).await;
    assert_eq!(old.held(), 0);
    assert_eq!(notes.of("db").len(), runs + 1);
    assert_eq!(notes.of("db").last(), Some(&Told::Removed));
}

#[tokio::test(start_paused = true)]
async fn removing_a_check_that_is_down_makes_the_service_ready() {
    let old = Dependency::that_says(Says::No);
    let (health, _) = planned(&old, every(SECOND)).await;
    assert!(!health.ready());
    health.set_checks(Vec::new()).unwrap();
    assert!(health.ready());
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_keeps_its_status_until_its_own_first_run_decides() {
    let old = Dependency::that_says(Says::Yes);
    let (health, notes) = planned(&old, every(SECOND)).await;
    old.now_says(Says::YesAfter(millis(300)));
    more_runs(&old, 1).await;

    let new = Dependency::that_says(Says::Never);
    let options = || every(SECOND).timeout(millis(400));
    health.set_checks(db(&new, options(), OTHER)).unwrap();
    more_runs(&new, 1).await;
    assert_eq!(old.held(), 0, "the old question is no longer asked");
    assert_eq!(status(&health, "db"), Status::Up);
    assert!(health.ready());
    sleep(millis(410)).await;
    assert_eq!(status(&health, "db"), Status::Down);
    assert_eq!(view(&health, "db").consecutive_failures, 1);
    assert_eq!(notes.count("db", Told::Removed), 0);
    assert_eq!(notes.count("db", Told::Run(Outcome::Success)), 1, "none of the run it cut off");
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_ends_the_run_in_flight_before_it_starts_one_of_its_own() {
    let dependency = Dependency::that_says(Says::YesAfter(millis(400)));
    let (health, _) = planned(&dependency, every(SECOND)).await;
    for digest in 2..10 {
        assert_eq!(dependency.held(), 1);
        let runs = dependency.asked().len();
        health.set_checks(db(&dependency, every(SECOND), [digest; 32])).unwrap();
        until(|| dependency.asked().len() > runs).await;
    }
    assert_eq!(dependency.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_check_gates_nothing_until_it_has_failed_as_often_as_its_threshold_says() {
    let old = Dependency::that_says(Says::Yes);
    let (health, _) = planned(&old, every(SECOND)).await;
    let new = Dependency::that_says(Says::Never);
    let mut plan = db(&old, every(SECOND), FIRST);
    let gates = [Gate::Health, Gate::Ready, Gate::Startup];
    let options = every(SECOND).timeout(millis(400)).gates(gates);
    plan.push(("new".to_owned(), new.check(options)));
    health.set_checks(plan).unwrap();
    let statuses = || gates.map(|gate| health.state().answer(gate, &[""; 0]).status);
    assert_eq!(statuses(), [ServiceStatus::Degraded; 3]);
    assert!(health.ready());
    assert_eq!(health.state().snapshot().status, ServiceStatus::Degraded);
    for failed in 1..=2 {
        until(|| view(&health, "new").consecutive_failures == failed).await;
        assert_eq!(status(&health, "new"), Status::Down, "it shows what it is");
        assert_eq!(statuses(), [ServiceStatus::Degraded; 3], "after {failed} failed runs");
        assert!(health.ready());
    }
    until(|| view(&health, "new").consecutive_failures == 3).await;
    assert_eq!(
        statuses(),
        [ServiceStatus::Down, ServiceStatus::Down, ServiceStatus::Degraded],
        "startup was satisfied before"
    );
    assert!(!health.ready());
}

#[tokio::test(start_paused = true)]
async fn a_new_check_gates_from_its_first_good_run_on() {
    let old = Dependency::that_says(Says::Yes);
    let (health, _) = planned(&old, every(SECOND)).await;
    let new = Dependency::that_says(Says::No);
    let mut plan = db(&old, every(SECOND), FIRST);
    plan.push(("new".to_owned(), new.check(every(SECOND).failure_threshold(2))));
    health.set_checks(plan).unwrap();
    more_runs(&new, 1).await;
    assert_eq!((status(&health, "new"), health.ready()), (Status::Down, true));
    new.now_says(Says::Yes);
    more_runs(&new, 1).await;
    assert!(view(&health, "new").gates_now);
    new.now_says(Says::No);
    more_runs(&new, 1).await;
    assert_eq!((status(&health, "new"), health.ready()), (Status::Up, true));
    more_runs(&new, 1).await;
    assert_eq!((status(&health, "new"), health.ready()), (Status::Down, false));
}

#[tokio::test(start_paused = true)]
async fn calls_that_the_host_observes_prove_a_new_check_too() {
    let old = Dependency::that_says(Says::Yes);
    let (health, _) = planned(&old, every(SECOND)).await;
    let new = Dependency::that_says(Says::Never);
    let mut plan = db(&old, every(SECOND), FIRST);
    plan.push(("new".to_owned(), new.check(every(SECOND * 600).timeout(SECOND * 500))));
    health.set_checks(plan).unwrap();
    let observed = health.observe("new").unwrap();
    for failed in 1..=3 {
        assert!(health.ready(), "before failed call {failed}");
        observed.failure(Reason::Other, millis(1));
    }
    assert!(!health.ready());
}

#[tokio::test(start_paused = true)]
async fn a_new_plan_says_what_it_changed() {
    let old = Dependency::that_says(Says::Yes);
    let (health, _) = planned(&old, every(SECOND)).await;
    let named = |name: &str, digest| (name.to_owned(), old.check(every(SECOND)).revision(digest));
    let changes = health.set_checks(vec![named("db", FIRST), named("new", FIRST)]).unwrap();
    let counts = |c: vitalsign::Changes| [c.added, c.changed, c.removed, c.untouched];
    assert_eq!(counts(changes), [1, 0, 0, 1]);
    let changes = health.set_checks(vec![named("new", OTHER), named("newer", FIRST)]).unwrap();
    assert_eq!(counts(changes), [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_plans_leave_nothing_of_what_they_removed() {
    let kept = Dependency::that_says(Says::Yes);
    let (health, _) = planned(&kept, every(SECOND)).await;
    let passing = Dependency::that_says(Says::Yes);
    let series = || {
        let page = vitalsign::metrics::encode(health.state(), vitalsign::metrics::Format::Text);
        String::from_utf8(page.to_vec()).unwrap().lines().count()
    };
    let (before, held) = (series(), Arc::strong_count(&passing));
    for round in 0..1000 {
        let mut plan = db(&kept, every(SECOND), FIRST);
        plan.push((format!("round-{round}"), passing.check(every(SECOND))));
        plan.push(("changing".to_owned(), passing.check(every(SECOND * 2))));
        health.set_checks(plan).unwrap();
        if round % 100 == 0 {
            more_runs(&passing, 2).await;
            assert!(series() > before);
        }
    }
    assert_eq!(health.state().checks().len(), 3);
    health.set_checks(db(&kept, every(SECOND), FIRST)).unwrap();
    sleep(SECOND * 3).await;
    assert_eq!(health.state().checks().len(), 1);
    assert!(!health.state().knows("round-999") && !health.state().knows("changing"));
    assert_eq!(series(), before);
    assert_eq!(Arc::strong_count(&passing), held, "no check that is gone is held");
    assert_eq!((passing.held(), passing.most_at_once() > 0), (0, true));
    assert!(kept.asked().len() > 3, "the one that stayed was asked all along");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_run_changes_nothing() {
    let old = Dependency::that_says(Says::Yes);
    let (health, _) = planned(&old, every(SECOND)).await;
    let mut plan = db(&old, every(SECOND), FIRST);
    plan.push(("Not a name".to_owned(), old.check(every(SECOND))));
    let error = health.set_checks(plan).unwrap_err().to_string();
    assert!(error.contains("\"Not a name\""), "{error}");
    assert_eq!(health.state().checks().len(), 1);
    more_runs(&old, 2).await;
    assert_eq!(status(&health, "db"), Status::Up);
}
