//! What the state remembers, forgets and reports, run by run.

mod groups;

use super::service_counts::CheckContribution;
use super::*;
use crate::model::{Event, Gates, Outcome, Run, ServiceStatus, SkipReason, Status, Trace};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn info(name: &str) -> CheckInfo {
    CheckInfo {
        name: name.into(),
        kind: "function",
        description: None,
        gates: Gates::READY,
        depends_on: Vec::new(),
        groups: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        interval: SECOND,
        timeout: SECOND / 2,
        failure_threshold: 3,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: true,
        server: None,
    }
}

fn run(outcome: Outcome) -> Run {
    Run {
        at: SystemTime::UNIX_EPOCH + SECOND * 1_000_000,
        duration: SECOND / 100,
        outcome,
        reason: None,
        message: None,
        trace: Some(Trace { trace_id: 1, span_id: 2, sampled: false }),
        phases: Vec::new(),
        measurements: Vec::new(),
    }
}

fn empty(keeps_tail: bool, sinks: Vec<Arc<dyn Sink>>) -> HealthState {
    let text = String::new;
    let service =
        ServiceInfo { name: text(), version: text(), instance: text(), environment: None };
    HealthState::new(Setup {
        service,
        keeps_tail,
        trace_url: None,
        labels: crate::engine::state::Labels::default(),
        series_sink: None,
        sinks,
        tolerated_ticks: 3,
        remembered: Remembered::default(),
    })
}

fn state_of(keeps_tail: bool, checks: Vec<CheckInfo>) -> (HealthState, Vec<Arc<Entry>>) {
    let state = empty(keeps_tail, Vec::new());
    let entries = state.apply(checks.into_iter().map(|i| Planned::New(Arc::new(i))).collect());
    (state, entries)
}

fn one(info: CheckInfo) -> (HealthState, Arc<Entry>) {
    let (state, mut entries) = state_of(true, vec![info]);
    (state, entries.remove(0))
}

fn status(state: &HealthState, gate: Gate, except: &[&str]) -> ServiceStatus {
    state.answer(gate, except).status
}

#[tokio::test(start_paused = true)]
async fn a_call_after_a_stale_status_that_nobody_looked_at_says_that_it_was_stale() {
    let (state, db) = one(info("db"));
    state.record(&db, run(Outcome::Success), false);
    tokio::time::advance(SECOND * 4).await;
    let (outcome, duration) = (Outcome::Success, SECOND / 100);
    let (reason, message, trace) = (None, None, None);
    state
        .observe(&db, Call { outcome, duration, reason, message, trace })
        .expect("it is its entry");
    let cell = db.lock();
    let changes = |to: Status| cell.counters.transitions[to as usize];
    assert_eq!((changes(Status::Unknown), changes(Status::Up)), (1, 1));
}

#[test]
fn a_check_of_another_kind_starts_counting_anew_and_one_of_the_same_goes_on() {
    let (state, old) = one(info("db"));
    state.record(&old, run(Outcome::Success), false);
    let slower = CheckInfo { interval: SECOND * 2, ..info("db") };
    let same = state.apply(vec![Planned::Changed(Arc::new(slower))]).remove(0);
    assert_eq!(same.lock().counters.outcomes[Outcome::Success as usize], 1);
    let other = CheckInfo { kind: "tcp", ..info("db") };
    let other = state.apply(vec![Planned::Changed(Arc::new(other))]).remove(0);
    assert_eq!(other.lock().counters.outcomes, CheckCounters::default().outcomes);
    assert_eq!(other.lock().status(), Status::Up);
}

#[test]
fn a_status_holds_since_the_end_of_the_run_that_made_it() {
    let (state, entry) = one(info("db"));
    let since = || state.check("db").expect("a check").since;
    let first = run(Outcome::Success);
    let ended = first.at + first.duration;
    state.record(&entry, first, false);
    assert_eq!(since(), ended);
    state.record(&entry, Run { at: ended + SECOND, ..run(Outcome::Success) }, false);
    assert_eq!(since(), ended, "the same status goes on");
}

#[tokio::test(start_paused = true)]
async fn a_stale_status_is_unknown_since_it_went_stale_not_since_somebody_looked() {
    let (state, entry) = one(info("db"));
    state.record(&entry, run(Outcome::Success), false);
    tokio::time::advance(SECOND * 1000).await;
    let view = state.check("db").expect("a check");
    assert_eq!(view.status, Status::Unknown);
    let ago = SystemTime::now().duration_since(view.since).expect("it is past");
    assert!(ago > SECOND * 900, "{ago:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_comes_after_its_check_went_stale_decides_as_the_first_does() {
    let (state, entry) = one(info("db"));
    state.record(&entry, run(Outcome::Success), false);
    tokio::time::advance(SECOND * 10).await;
    let recorded = state.record(&entry, run(Outcome::Failure), false).expect("it is of the plan");
    assert_eq!(recorded.status, Status::Down, "one failure, of a threshold of three");
}

#[test]
fn by_outcome_the_trace_of_every_run_is_kept_that_is_not_as_usual() {
    let (state, entry) = one(info("db"));
    let kept = |run: Run| state.record(&entry, run, false).expect("it is of the plan").kept;
    assert!(kept(run(Outcome::Success)), "the first run changes the status");
    assert!(!kept(run(Outcome::Success)));
    assert!(!kept(Run { duration: SECOND / 4, ..run(Outcome::Success) }));
    assert!(kept(Run { duration: SECOND / 4 + SECOND / 1000, ..run(Outcome::Success) }));
    for outcome in [Outcome::Warning, Outcome::Failure, Outcome::Timeout, Outcome::Unknown] {
        assert!(kept(run(outcome)), "{outcome}");
        assert!(!kept(run(Outcome::Success)), "up all the while");
    }
    let trace = Some(Trace { trace_id: 1, span_id: 2, sampled: true });
    assert!(kept(Run { trace, ..run(Outcome::Success) }));
    assert!(!kept(Run { trace: None, ..run(Outcome::Failure) }));
    for _ in 0..3 {
        kept(run(Outcome::Failure));
    }
    assert!(kept(run(Outcome::Success)), "it is up again");
}

#[test]
fn without_a_processor_that_obeys_the_sampled_flag_alone_keeps_a_trace() {
    let (state, entries) = state_of(false, vec![info("db")]);
    let kept = |run: Run| state.record(&entries[0], run, false).expect("it is of the plan").kept;
    assert!(!kept(run(Outcome::Failure)));
    let trace = Some(Trace { trace_id: 1, span_id: 2, sampled: true });
    assert!(entries[0].lock().counters.durations.exemplars.is_none());
    assert!(kept(Run { trace, ..run(Outcome::Success) }));
    assert!(entries[0].lock().counters.durations.exemplars.is_some());
}

#[test]
fn what_a_removed_check_still_reports_is_dropped() {
    let (state, entry) = one(info("db"));
    state.apply(Vec::new());
    assert!(state.record(&entry, run(Outcome::Failure), false).is_none());
    assert_eq!(state.snapshot().status, ServiceStatus::Up, "with no checks at all it is up");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_changes_grows_with_all_that_a_body_shows() {
    let (state, entry) = one(info("db"));
    let seen = std::cell::Cell::new(state.changes());
    let grew = || seen.replace(state.changes()) < state.changes();
    state.record(&entry, run(Outcome::Failure), false);
    assert!(grew(), "a status");
    state.record(&entry, run(Outcome::Failure), false);
    assert!(!grew(), "the same status");
    tokio::time::advance(SECOND * 10).await;
    assert!(grew(), "from down to unknown, which weigh the same");
    (0..3).for_each(|_| state.tick());
    assert!(grew(), "liveness");
    state.apply(vec![Planned::New(Arc::new(info("other")))]);
    assert!(grew(), "a plan");
    state.drain();
    assert!(grew(), "draining");
}

#[test]
fn only_silence_in_a_row_ends_liveness() {
    let (state, _) = one(info("db"));
    let live = || state.snapshot().live;
    for _ in 0..5 {
        state.tick();
        state.tick();
        assert!(live(), "two of three");
        state.runtime_is_alive();
        state.tick();
    }
    (0..3).for_each(|_| state.tick());
    assert!(!live());
    state.runtime_is_alive();
    state.tick();
    assert!(live());
}

#[test]
fn the_service_status_is_the_first_that_applies_and_holds_since_it_does() {
    let at = |seconds: u32| SystemTime::UNIX_EPOCH + SECOND * seconds;
    let mut tally = ServiceCounts::new(at(0), None);
    let seen = |tally: &ServiceCounts| (tally.status(), tally.since());
    tally.set_live(true, at(1));
    assert_eq!(seen(&tally), (ServiceStatus::Starting, at(0)), "nothing is known without a plan");
    tally.plan(|_| true, at(2));
    assert_eq!(seen(&tally), (ServiceStatus::Up, at(2)));
    let down =
        CheckContribution { not_up: true, ready_failing: true, ..CheckContribution::default() };
    tally.replace(CheckContribution::default(), down, &[], at(3));
    assert_eq!(seen(&tally), (ServiceStatus::Down, at(3)));
    tally.set_live(false, at(4));
    assert_eq!(seen(&tally), (ServiceStatus::Down, at(3)), "for another cause");
    tally.drain(at(5));
    assert_eq!(seen(&tally), (ServiceStatus::Draining, at(5)), "draining comes first");
}

#[test]
fn only_a_dependency_that_is_down_suppresses() {
    let db = CheckInfo { depends_on: vec!["vpn".into()], ..info("db") };
    let (state, entries) = state_of(true, vec![db, info("vpn")]);
    let suppressed = || state.check("db").expect("a check").suppressed_by;
    assert_eq!(suppressed(), None, "unknown");
    state.record(&entries[1], run(Outcome::Warning), false);
    assert_eq!(suppressed(), None, "degraded");
    (0..3).for_each(|_| drop(state.record(&entries[1], run(Outcome::Failure), false)));
    assert_eq!(suppressed().as_deref(), Some("vpn"));
}

#[test]
fn startup_waits_for_what_gates_it_and_for_first_runs_but_not_for_what_is_excluded() {
    let only = |gate| [gate].into_iter().collect();
    let warm = CheckInfo { gates: only(Gate::Startup), ..info("warm") };
    let (state, entries) = state_of(true, vec![info("db"), warm]);
    let startup = |except: &[&str]| status(&state, Gate::Startup, except);
    assert_eq!(startup(&[]), ServiceStatus::Starting);
    assert_eq!(startup(&["db"]), ServiceStatus::Starting, "warm has not run");
    assert_eq!(startup(&["warm"]), ServiceStatus::Starting, "db has not run");
    assert_eq!(startup(&["db", "warm"]), ServiceStatus::Up);
    state.record(&entries[1], run(Outcome::Success), false);
    assert_eq!(startup(&["db"]), ServiceStatus::Up);
    assert_eq!(startup(&[]), ServiceStatus::Starting, "db has not run");
    state.record(&entries[0], run(Outcome::Failure), false);
    assert_eq!(startup(&[]), ServiceStatus::Up, "whatever came of it");
}

#[test]
fn no_probe_waits_for_a_new_check_until_it_has_failed_often_enough() {
    let gates = Gate::ALL.iter().copied().collect();
    let (state, _) = state_of(true, Vec::new());
    let late = CheckInfo { gates, ..info("late") };
    let late = state.apply(vec![Planned::New(Arc::new(late))]).remove(0);
    for gate in Gate::ALL {
        assert!(status(&state, *gate, &[]).is_ok(), "{gate}");
    }
    for _ in 0..3 {
        assert!(Gate::ALL.iter().all(|gate| status(&state, *gate, &[]).is_ok()));
        state.record(&late, run(Outcome::Failure), false);
    }
    assert_eq!(status(&state, Gate::Health, &[]), ServiceStatus::Down);
    assert_eq!(status(&state, Gate::Ready, &[]), ServiceStatus::Down);
    assert!(status(&state, Gate::Startup, &[]).is_ok(), "it started before");
}

#[test]
fn a_check_that_a_reload_brings_before_the_start_is_over_is_not_waited_for() {
    let (state, entries) = state_of(true, vec![info("db")]);
    let warm = CheckInfo { gates: [Gate::Startup].into_iter().collect(), ..info("warm") };
    let db = Planned::Untouched(Arc::clone(&entries[0]));
    state.apply(vec![db, Planned::New(Arc::new(warm))]);
    assert_eq!(status(&state, Gate::Startup, &[]), ServiceStatus::Starting, "for db alone");
    assert!(status(&state, Gate::Startup, &["db"]).is_ok());
}

fn maintain(state: &HealthState, names: &[&str]) {
    let mut maintained = Maintained::default();
    maintained.add(Some(names.iter().copied()));
    state.set_maintenance(maintained);
}

#[test]
fn a_check_in_maintenance_makes_a_probe_degraded_at_worst() {
    let gates = Gate::ALL.iter().copied().collect();
    let (state, entry) = one(CheckInfo { gates, ..info("db") });
    maintain(&state, &["db"]);
    let degraded = |what: &str| {
        for gate in Gate::ALL {
            assert_eq!(status(&state, *gate, &[]), ServiceStatus::Degraded, "{what}: {gate}");
        }
        let whole = state.snapshot();
        assert_eq!(whole.status, ServiceStatus::Degraded, "{what}");
        assert!(whole.ready && whole.live && whole.started, "{what}");
    };
    degraded("it has not run");
    state.record(&entry, run(Outcome::Unknown), false);
    degraded("it could not be asked");
    state.record(&entry, run(Outcome::Failure), false);
    degraded("it is down");
    assert_eq!(status(&state, Gate::Ready, &["db"]), ServiceStatus::Up);
    let view = state.check("db").expect("a check");
    assert_eq!((view.status, view.maintenance, view.gates_now), (Status::Down, true, false));
    state.record(&entry, run(Outcome::Success), false);
    assert_eq!(state.snapshot().status, ServiceStatus::Up);
    let figures = entry.lock().counters.clone();
    assert_eq!((figures.slo_good, figures.slo_bad), (0, 0));
    assert_eq!(figures.outcomes, [1, 0, 1, 0, 1], "and yet each is counted");
}

#[test]
fn maintenance_that_ends_lets_a_check_count_again_at_once() {
    let (state, entry) = one(info("db"));
    state.record(&entry, run(Outcome::Failure), false);
    assert_eq!(state.snapshot().status, ServiceStatus::Down);
    let seen = std::cell::Cell::new(state.changes());
    let grew = || seen.replace(state.changes()) < state.changes();
    maintain(&state, &["db"]);
    assert_eq!(state.snapshot().status, ServiceStatus::Degraded);
    assert!(grew(), "what was rendered before is old");
    maintain(&state, &["db"]);
    assert!(!grew(), "nothing changed");
    maintain(&state, &[]);
    assert_eq!(state.snapshot().status, ServiceStatus::Down);
    assert!(grew());
    state.record(&entry, run(Outcome::Failure), false);
    assert_eq!(entry.lock().counters.slo_bad, 2, "before and after");
}

#[test]
fn maintenance_survives_a_changed_declaration_and_does_not_reach_another_check() {
    let (state, entries) = state_of(true, vec![info("db"), info("cache")]);
    maintain(&state, &["db"]);
    let cache = Planned::Untouched(Arc::clone(&entries[1]));
    state.apply(vec![Planned::Changed(with_threshold(1)), cache]);
    let maintained = |name: &str| state.check(name).expect("a check").maintenance;
    assert!(maintained("db") && !maintained("cache"));
    assert_eq!(status(&state, Gate::Ready, &["db"]), ServiceStatus::Starting, "for the cache");
    let mut everything = Maintained::default();
    everything.add(None::<std::iter::Empty<&str>>);
    state.set_maintenance(everything);
    assert!(maintained("db") && maintained("cache"));
    maintain(&state, &["cache"]);
    assert!(!maintained("db") && maintained("cache"));
}

/// Counts its events.
#[derive(Default)]
struct CountingSink(AtomicUsize);

impl Sink for CountingSink {
    fn record(&self, _: &Arc<CheckInfo>, _: Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The check under another threshold.
fn with_threshold(failure_threshold: u32) -> Arc<CheckInfo> {
    Arc::new(CheckInfo { failure_threshold, ..info("db") })
}

#[test]
fn what_a_replaced_check_still_reports_reaches_nobody() {
    let counts = Arc::<CountingSink>::default();
    let state = empty(false, vec![Arc::clone(&counts) as Arc<dyn Sink>]);
    let old = state.apply(vec![Planned::New(with_threshold(1))]).remove(0);
    assert!(state.record(&old, run(Outcome::Success), false).is_some());
    let new = state.apply(vec![Planned::Changed(with_threshold(2))]).remove(0);
    let before = counts.0.load(Ordering::SeqCst);
    assert!(state.record(&old, run(Outcome::Failure), false).is_none());
    state.skip(&old, SkipReason::Overrun);
    assert_eq!(counts.0.load(Ordering::SeqCst), before);
    assert_eq!(new.lock().status(), Status::Up);
}

#[test]
fn a_check_is_replaced_from_the_moment_its_state_is_handed_on() {
    let (state, old) = one(info("db"));
    let _new = Entry::succeeding(with_threshold(2), &Labels::default(), &old);
    assert!(state.record(&old, run(Outcome::Failure), false).is_none());
}
