//! What the checks of a group add up to.

use super::*;

fn member(name: &str, gates: Gates, groups: &[&str]) -> CheckInfo {
    CheckInfo { gates, groups: groups.iter().map(|g| (*g).into()).collect(), ..info(name) }
}

/// The group's status, which its probe answers with too.
fn of_group(state: &HealthState, group: &str) -> Option<ServiceStatus> {
    let status = state.group(group);
    let answer = state.group_answer::<&str>(group, &[]);
    assert_eq!(answer.map(|answer| answer.status), status, "{group}");
    status
}

#[test]
fn a_group_is_the_service_with_the_checks_of_the_group_alone() {
    let (state, entries) = state_of(
        true,
        vec![
            member("bank", Gates::READY, &["payments"]),
            member("mail", Gates::NONE, &["payments"]),
            member("search", Gates::READY, &["catalogue"]),
        ],
    );
    let [bank, mail, search] = &entries[..] else { panic!("three checks") };
    let payments = || of_group(&state, "payments").expect("a group");
    assert_eq!(of_group(&state, "nothing"), None);
    assert_eq!(payments(), ServiceStatus::Starting);
    state.record(search, run(Outcome::Failure), false);
    state.record(mail, run(Outcome::Success), false);
    assert_eq!(payments(), ServiceStatus::Starting, "the one that gates has had no run");
    state.record(bank, run(Outcome::Success), false);
    assert_eq!(payments(), ServiceStatus::Up, "what is down is in another group");
    assert_eq!(of_group(&state, "catalogue"), Some(ServiceStatus::Down));
    assert_eq!(state.status(), ServiceStatus::Down);
    (0..3).for_each(|_| drop(state.record(mail, run(Outcome::Failure), false)));
    assert_eq!(payments(), ServiceStatus::Degraded, "it does not gate ready");
    (0..3).for_each(|_| drop(state.record(bank, run(Outcome::Failure), false)));
    assert_eq!(payments(), ServiceStatus::Down);
    let without = state.group_answer("payments", &["bank"]).expect("a group");
    assert_eq!(without.status, ServiceStatus::Degraded);
    assert_eq!(without.checks.len(), 1);
    state.drain();
    assert_eq!(payments(), ServiceStatus::Draining);
}

#[test]
fn a_group_is_down_while_the_process_is_not_live() {
    let health = [Gate::Health].into_iter().collect();
    let checks = vec![member("bank", Gates::READY, &["payments"]), member("self", health, &[])];
    let (state, entries) = state_of(true, checks);
    for entry in &entries {
        state.record(entry, run(Outcome::Success), false);
    }
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Up));
    (0..3).for_each(|_| state.tick());
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Down), "no check runs");
    state.runtime_is_alive();
    state.tick();
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Up));
    (0..3).for_each(|_| drop(state.record(&entries[1], run(Outcome::Failure), false)));
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Down), "/health is 503");
}

#[test]
fn groups_follow_the_plan() {
    let (state, entries) =
        state_of(true, vec![member("bank", Gates::READY, &["payments", "refunds"])]);
    state.record(&entries[0], run(Outcome::Failure), false);
    assert_eq!(of_group(&state, "refunds"), Some(ServiceStatus::Down));
    let moved = Arc::new(member("bank", Gates::READY, &["payments"]));
    let entries = state.apply(vec![Planned::Changed(moved)]);
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Down), "it keeps its status");
    assert_eq!(of_group(&state, "refunds"), None);
    state.record(&entries[0], run(Outcome::Success), false);
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Up));
    state.apply(Vec::new());
    assert_eq!(of_group(&state, "payments"), None);
    // What is counted of a group is gone with it.
    let entries =
        state.apply(vec![Planned::New(Arc::new(member("b", Gates::READY, &["payments"])))]);
    state.record(&entries[0], run(Outcome::Success), false);
    assert_eq!(of_group(&state, "payments"), Some(ServiceStatus::Up));
}
