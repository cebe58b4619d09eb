//! Checks that come and go while the service runs, one at a time and from many tasks.

use std::time::Duration;

use vitalsign::testing::{Scripted, Step, eventually, scripted};
use vitalsign::{Changes, Declared, Health, PlanError, Reason, Status, every, secs};

const MILLIS: Duration = Duration::from_millis(1);

fn over(check: &Scripted) -> Declared {
    every(secs(5)).check(check.clone())
}

fn well() -> Declared {
    over(&scripted([Step::Ok]))
}

fn names(health: &Health) -> Vec<String> {
    health.state().checks().iter().map(|check| check.name.to_string()).collect()
}

/// What became of added, changed, removed and untouched checks.
fn counts(changes: Result<Changes, PlanError>) -> [usize; 4] {
    let changes = changes.expect("it is accepted");
    [changes.added, changes.changed, changes.removed, changes.untouched]
}

#[tokio::test(start_paused = true)]
async fn a_tenant_comes_changes_and_goes_and_leaves_the_others_alone() {
    let other = scripted([Step::Ok]);
    let health = Health::builder("small").check("other", over(&other)).build().unwrap();
    eventually(&health, "other", Status::Up).await;
    let before = other.runs();

    let broken = scripted([Step::Fail(Reason::ConnectionRefused)]);
    assert_eq!(counts(health.add_check("tenant", over(&broken))), [1, 0, 0, 1]);
    assert!(health.ready(), "it is not known to work yet");
    eventually(&health, "tenant", Status::Down).await;
    assert_eq!(counts(health.replace_check("tenant", well())), [0, 1, 0, 1]);
    assert_eq!(health.state().check("tenant").unwrap().status, Status::Down, "until its own run");
    eventually(&health, "tenant", Status::Up).await;
    assert_eq!(counts(health.remove_check("tenant")), [0, 0, 1, 1]);
    assert_eq!(names(&health), ["other"]);
    assert_eq!(counts(health.remove_check("tenant")), [0, 0, 0, 1], "there is none any more");
    assert_eq!(other.runs(), before, "it keeps its own clock");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused_alone() {
    let health = Health::builder("small").check("vpn", well()).build().unwrap();
    let behind = || every(secs(5)).depends_on("vpn").groups(["far"]).check(scripted([Step::Ok]));
    assert_eq!(counts(health.add_check("db", behind())), [1, 0, 0, 1]);
    let name = |name: &str| name.to_owned();
    for (refused, why) in [
        (health.add_check("Db", well()), PlanError::Name(name("Db"))),
        (health.add_check("db", well()), PlanError::Duplicate(name("db"))),
        (health.add_check("far", well()), PlanError::GroupOfCheckName(name("far"))),
        (health.replace_check("cache", well()), PlanError::Unknown(name("cache"))),
        (
            health.replace_check("vpn", every(secs(5)).depends_on("db").check(scripted([]))),
            PlanError::Cycle(name("db -> vpn -> db")),
        ),
        (
            health.remove_check("vpn"),
            PlanError::Needed { check: name("vpn"), dependent: name("db") },
        ),
    ] {
        assert_eq!(refused, Err(why));
    }
    assert_eq!(names(&health), ["db", "vpn"]);
}

#[tokio::test(start_paused = true)]
async fn a_check_is_the_same_by_its_object_or_its_revision() {
    let check = scripted([Step::Ok]);
    let declared = over(&check);
    let health = Health::builder("small").check("db", declared.clone()).build().unwrap();
    assert_eq!(counts(health.replace_check("db", declared)), [0, 0, 0, 1], "the same object");
    assert_eq!(counts(health.replace_check("db", over(&check))), [0, 1, 0, 0], "another one");
    let revised = || over(&check).revision([7; 32]);
    assert_eq!(counts(health.replace_check("db", revised())), [0, 1, 0, 0]);
    assert_eq!(counts(health.replace_check("db", revised())), [0, 0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_change_the_plan_at_once_and_none_undoes_anothers_change() {
    let health = Health::builder("small").build().unwrap();
    let quick = || every(MILLIS * 500).gates([]).check(scripted([Step::Ok]));
    let tasks = (0..8).map(|task| {
        let health = health.clone();
        tokio::spawn(async move {
            let mut won = 0;
            for tenant in 0..20 {
                let own = format!("t{task}-{tenant}");
                health.add_check(own.as_str(), quick()).expect("nobody else has it");
                tokio::task::yield_now().await;
                if tenant % 2 == 0 {
                    health.replace_check(own.as_str(), quick()).expect("it is there");
                } else {
                    health.remove_check(&own).expect("nothing depends on it");
                }
                won += usize::from(health.add_check(format!("all-{tenant}"), quick()).is_ok());
            }
            won
        })
    });
    let mut won = 0;
    for task in tasks.collect::<Vec<_>>() {
        won += task.await.expect("it ends");
    }
    assert_eq!(won, 20, "each name was added once");
    let mut expected: Vec<String> = (0..20).map(|tenant| format!("all-{tenant}")).collect();
    for task in 0..8 {
        expected.extend((0..20).step_by(2).map(|tenant| format!("t{task}-{tenant}")));
    }
    expected.sort();
    assert_eq!(names(&health), expected);
    for name in expected {
        eventually(&health, &name, Status::Up).await;
    }
}
