//! What the host's own calls say: they count like runs, and may spare them.

use proptest::prelude::*;
use vitalsign::metrics::Format;
use vitalsign::{Observation, ObserveError, Observer};

use super::*;

/// The health of `db`, up after a first run that a test's calls follow.
async fn observed(
    dependency: &Arc<Dependency>,
    options: Options,
) -> (Health, Arc<Notes>, Observer) {
    let (health, notes) = with_db(dependency, options).await;
    until(|| view(&health, "db").last_run.is_some()).await;
    let observer = health.observe("db").unwrap();
    (health, notes, observer)
}

fn hourly() -> Options {
    every(SECOND * 3600)
}

fn series(health: &Health, series: &str) -> Option<f64> {
    let text = vitalsign::metrics::encode(health.state(), Format::Text);
    let text = String::from_utf8(text.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn failed_calls_in_a_row_make_a_check_down_and_a_good_one_brings_it_back() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, notes, db) = observed(&dependency, hourly()).await;
    db.failure(Reason::ConnectionReset, millis(3));
    db.success(millis(3));
    for _ in 0..2 {
        db.failure(Reason::ConnectionReset, millis(3));
    }
    assert_eq!(view(&health, "db").consecutive_failures, 2);
    assert!(health.ready(), "two are no three");
    db.record(Failure::new(Reason::QueryFailed, "no such table"), millis(7));
    assert_eq!(status(&health, "db"), Status::Down);
    assert!(!health.ready());
    let run = view(&health, "db").last_run.unwrap();
    assert_eq!(
        (run.reason, run.message.as_deref()),
        (Some(Reason::QueryFailed), Some("no such table"))
    );
    assert_eq!(run.duration, millis(7));
    db.success(millis(2));
    assert_eq!(status(&health, "db"), Status::Up);
    let changes = [Status::Unknown, Status::Up, Status::Down, Status::Up];
    assert_eq!(notes.changes("db"), changes.windows(2).map(|w| (w[0], w[1])).collect::<Vec<_>>());
    assert_eq!(dependency.asked().len(), 1, "no run was needed for it");
}

#[tokio::test(start_paused = true)]
async fn calls_count_in_every_figure_of_the_check() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _, db) = observed(&dependency, hourly().degraded_after(millis(100))).await;
    let before = view(&health, "db").last_success_at.unwrap();
    for _ in 0..10 {
        db.success(millis(3));
    }
    db.success(millis(200));
    db.failure(Reason::Timeout, millis(30));
    db.failure(Reason::LocalResource, millis(30));
    db.record(Observation::Ignored, millis(30));
    db.warning("it lags", millis(40));
    let labels = "check=\"db\",kind=\"function\"";
    for (name, label, value) in [
        ("runs_total", "outcome=\"success\"", 11.0),
        ("runs_total", "outcome=\"warning\"", 2.0),
        ("runs_total", "outcome=\"timeout\"", 1.0),
        ("runs_total", "outcome=\"unknown\"", 1.0),
        ("slo_runs_total", "result=\"good\"", 13.0),
        ("slo_runs_total", "result=\"bad\"", 1.0),
        ("failures_total", "reason=\"timeout\"", 1.0),
        ("duration_seconds_bucket", "le=\"0.005\"", 11.0),
        ("duration_seconds_bucket", "le=\"+Inf\"", 15.0),
    ] {
        let name = format!("health_check_{name}{{{labels},{label}}}");
        assert_eq!(series(&health, &name), Some(value), "{name}");
    }
    let seen = view(&health, "db");
    let run = seen.last_run.unwrap();
    assert_eq!((run.outcome, run.message.as_deref()), (Outcome::Warning, Some("it lags")));
    assert_eq!(seen.last_success_at, Some(run.at + run.duration));
    assert!(seen.last_success_at > Some(before));
}

#[tokio::test(start_paused = true)]
async fn calls_in_maintenance_leave_availability_alone() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _, db) = observed(&dependency, hourly()).await;
    let now = std::time::SystemTime::now();
    let window = vitalsign::Window::once(now - SECOND, now + SECOND * 3600).unwrap();
    health.set_maintenance(vec![window]);
    (0..3).for_each(|_| db.failure(Reason::Other, millis(3)));
    assert_eq!((status(&health, "db"), health.ready()), (Status::Down, true));
    let labels = "check=\"db\",kind=\"function\"";
    let bad = format!("health_check_slo_runs_total{{{labels},result=\"bad\"}}");
    assert_eq!(series(&health, &bad), Some(0.0));
    let failed = format!("health_check_runs_total{{{labels},outcome=\"failure\"}}");
    assert_eq!(series(&health, &failed), Some(3.0));
}

#[tokio::test]
async fn no_call_is_lost_when_many_threads_observe_one_check() {
    const THREADS: usize = 4;
    const CALLS: u32 = 5_000;
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _, db) = observed(&dependency, hourly()).await;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let db = db.clone();
            scope.spawn(move || (0..CALLS).for_each(|_| db.success(millis(3))));
        }
    });
    let name = "health_check_runs_total{check=\"db\",kind=\"function\",outcome=\"success\"}";
    assert_eq!(series(&health, name), Some(20_001.0));
}

#[tokio::test(start_paused = true)]
async fn slow_calls_degrade_a_check() {
    let dependency = Dependency::that_says(Says::Yes);
    let options = hourly().degraded_after(millis(100)).failure_threshold(2);
    let (health, _, db) = observed(&dependency, options).await;
    db.success(millis(101));
    assert_eq!(status(&health, "db"), Status::Up);
    db.success(millis(101));
    assert_eq!(status(&health, "db"), Status::Degraded);
    let run = view(&health, "db").last_run.unwrap();
    let message = "answered in 0.101 s, slower than degraded_after = 100ms";
    assert_eq!(run.message.as_deref(), Some(message));
    db.success(millis(100));
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn figures_of_the_checks_own_last_run_stay_when_calls_follow() {
    static LAG: vitalsign::Measurement =
        vitalsign::Measurement { name: "lag_seconds", help: "Lag." };
    struct Lagging;
    #[async_trait::async_trait]
    impl vitalsign::Check for Lagging {
        fn kind(&self) -> &'static str {
            "lagging"
        }
        async fn run(&self, cx: &vitalsign::Context) -> Result<Detail, Failure> {
            cx.measure(&LAG, 1.5);
            cx.phase(vitalsign::Phase::Connect, sleep(millis(2))).await;
            Ok(Detail::ok())
        }
    }
    let (builder, _) = builder();
    let health = builder.check("db", hourly().check(Lagging)).build().unwrap();
    until(|| view(&health, "db").last_run.is_some()).await;
    let db = health.observe("db").unwrap();
    for observation in [Observation::Success, Reason::Other.into()] {
        db.record(observation, millis(9));
        let run = view(&health, "db").last_run.unwrap();
        assert_eq!((run.duration, run.phases.len()), (millis(9), 0));
        assert_eq!(run.measurements, [(&LAG, 1.5)]);
        let labels = "check=\"db\",kind=\"lagging\"";
        assert_eq!(series(&health, &format!("health_check_lag_seconds{{{labels}}}")), Some(1.5));
        let phase = format!("health_check_phase_duration_seconds{{{labels},phase=\"connect\"}}");
        assert_eq!(series(&health, &phase), Some(0.002));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_call_decides_where_nothing_was_known() {
    let dependency = Dependency::that_says(Says::Never);
    let (builder, notes) = builder();
    let health =
        builder.check("db", dependency.check(hourly().timeout(SECOND * 60))).build().unwrap();
    let db = health.observe("db").unwrap();
    assert!(!health.ready());
    db.success(millis(3));
    assert!(health.ready() && health.state().snapshot().started);
    assert_eq!(
        notes.of("db"),
        [Told::Run(Outcome::Success), Told::Changed(Status::Unknown, Status::Up)]
    );
}

#[tokio::test(start_paused = true)]
async fn calls_keep_a_status_fresh_and_bring_back_a_stale_one() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _, db) = observed(&dependency, every(SECOND * 10)).await;
    dependency.now_says(Says::Nothing);
    for _ in 0..10 {
        sleep(SECOND * 10).await;
        db.success(millis(3));
        assert_eq!(status(&health, "db"), Status::Up);
    }
    sleep(SECOND * 33).await;
    assert_eq!(status(&health, "db"), Status::Unknown);
    db.success(millis(3));
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_is_refused_and_the_known_ones_are_named() {
    let dependency = Dependency::that_says(Says::Yes);
    let (builder, _) = builder();
    let checks = ["cache", "db"].map(|name| (name, dependency.check(hourly())));
    let health = checks.into_iter().fold(builder, |b, (name, check)| b.check(name, check)).build();
    let error = health.unwrap().observe("database").unwrap_err();
    assert_eq!(error.to_string(), "there is no check `database` to observe; there are: cache, db");
    assert!(matches!(error, ObserveError::UnknownCheck { check, .. } if check == "database"));
}

#[tokio::test(start_paused = true)]
async fn an_observer_outlives_its_check_and_counts_for_the_next_of_its_name() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, notes, db) = observed(&dependency, hourly().failure_threshold(1)).await;
    let other = || ("other".to_owned(), dependency.check(hourly()));
    let again = |options| ("db".to_owned(), dependency.check(options));
    health.set_checks(vec![other()]).unwrap();
    db.failure(Reason::Other, millis(3));
    assert_eq!(notes.changes("db"), [(Status::Unknown, Status::Up)]);
    dependency.now_says(Says::Nothing);
    health.set_checks(vec![other(), again(hourly().failure_threshold(2))]).unwrap();
    db.success(millis(3));
    assert_eq!(status(&health, "db"), Status::Up);
    db.failure(Reason::Other, millis(3));
    db.failure(Reason::Other, millis(3));
    assert_eq!(status(&health, "db"), Status::Down);
    // A changed check keeps its status until it, or a call, says something.
    health.set_checks(vec![other(), again(hourly().failure_threshold(3))]).unwrap();
    db.success(millis(3));
    assert_eq!(status(&health, "db"), Status::Up);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_a_reload_brought_gates_once_enough_calls_have_failed() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _, _) = observed(&dependency, hourly()).await;
    let silent = Dependency::that_says(Says::Never);
    let new = ("new".to_owned(), silent.check(hourly().timeout(SECOND * 600)));
    health.set_checks(vec![("db".to_owned(), dependency.check(hourly())), new]).unwrap();
    for _ in 0..3 {
        assert!(health.ready());
        health.observe("new").unwrap().failure(Reason::Other, millis(3));
    }
    assert!(!health.ready());
}

#[tokio::test(start_paused = true)]
async fn a_timer_and_a_future_are_timed_and_count_nothing_when_given_up() {
    let dependency = Dependency::that_says(Says::Yes);
    let (health, _, db) = observed(&dependency, hourly()).await;
    let runs = |outcome: &str| {
        let labels = format!("check=\"db\",kind=\"function\",outcome=\"{outcome}\"");
        series(&health, &format!("health_check_runs_total{{{labels}}}")).unwrap()
    };
    let last = || view(&health, "db").last_run.unwrap();
    let timer = db.start();
    sleep(millis(40)).await;
    timer.success();
    assert_eq!((last().duration, runs("success")), (millis(40), 2.0));
    drop(db.start());
    let given_up = db.call(std::future::pending::<Result<(), ()>>());
    assert!(tokio::time::timeout(millis(10), given_up).await.is_err());
    assert_eq!((runs("success"), runs("failure")), (2.0, 0.0));

    let slow = async {
        sleep(millis(20)).await;
        Ok::<_, ()>(7)
    };
    assert_eq!(db.call(slow).await, Ok(7));
    assert_eq!((last().duration, runs("success")), (millis(20), 3.0));
    assert_eq!(db.call(async { Err::<(), _>("a secret") }).await, Err("a secret"));
    assert_eq!((last().reason, last().message.clone()), (Some(Reason::Other), None));
    let late = db.call_with(async { Err::<(), _>("late") }, |_| Reason::Timeout).await;
    assert_eq!((late, last().outcome), (Err("late"), Outcome::Timeout));
    let nothing = db.call_with(async { Err::<(), _>("no row") }, |_| None).await;
    assert_eq!((nothing, last().outcome), (Err("no row"), Outcome::Success));
}

mod sparing {
    use super::*;

    fn spared() -> Options {
        every(SECOND * 10).spare_when_observed(true)
    }

    #[tokio::test(start_paused = true)]
    async fn good_calls_spare_runs_that_are_not_counted_as_skipped() {
        let dependency = Dependency::that_says(Says::Yes);
        let (health, notes, db) = observed(&dependency, spared()).await;
        for _ in 0..12 {
            sleep(SECOND * 5).await;
            db.success(millis(3));
        }
        assert_eq!(dependency.asked().len(), 1);
        assert_eq!(status(&health, "db"), Status::Up);
        let of = notes.of("db");
        assert!(!of.iter().any(|told| matches!(told, Told::Skipped(_))), "{of:?}");
        // Nobody calls any more: it is asked again.
        sleep(SECOND * 21).await;
        assert!(dependency.asked().len() >= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_call_spares_no_run() {
        let dependency = Dependency::that_says(Says::Yes);
        let (_health, _, db) = observed(&dependency, spared()).await;
        db.success(millis(3));
        db.failure(Reason::Other, millis(3));
        sleep(SECOND * 20).await;
        assert!(dependency.asked().len() >= 2, "the failure came last");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_down_is_asked_whatever_calls_say() {
        let dependency = Dependency::that_says(Says::No);
        let (health, _, db) = observed(&dependency, spared().success_threshold(1_000)).await;
        for _ in 0..8 {
            db.success(millis(3));
            sleep(SECOND * 5).await;
        }
        assert_eq!(status(&health, "db"), Status::Down);
        assert!(dependency.asked().len() >= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_spare_nothing_unless_that_is_wanted() {
        let dependency = Dependency::that_says(Says::Yes);
        let (_health, _, db) = observed(&dependency, every(SECOND * 10)).await;
        for _ in 0..8 {
            db.success(millis(3));
            sleep(SECOND * 5).await;
        }
        assert!(dependency.asked().len() >= 4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever of a dependency's outcomes are runs and whatever calls, they add up to the same.
    #[test]
    fn calls_and_runs_add_up_to_the_same(
        outcomes in prop::collection::vec((0usize..5, any::<bool>()), 1..40),
        failure in 1u32..4, success in 1u32..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        let add_up = |as_calls: bool| {
            let outcomes = outcomes.clone();
            runtime.block_on(async move {
                let often = every(millis(100)).timeout(millis(20));
                let often = often.failure_threshold(failure).success_threshold(success);
                let dependency = Dependency::that_says(Says::Nothing);
                let (health, notes, db) = observed(&dependency, often).await;
                let mut statuses = Vec::new();
                for (outcome, call) in outcomes {
                    let call = call && as_calls;
                    // So that as much time passes: an unknown run changes nothing.
                    dependency.now_says(if call { Says::Nothing } else { answering(outcome) });
                    more_runs(&dependency, 1).await;
                    let timeout = Outcome::ALL[outcome] == Outcome::Timeout;
                    sleep(millis(if timeout { 15 } else { 0 })).await;
                    if call {
                        db.record(saying(outcome), millis(0));
                    }
                    sleep(millis(if timeout { 10 } else { 25 })).await;
                    let seen = view(&health, "db");
                    statuses.push((seen.status, seen.consecutive_failures));
                }
                (statuses, notes.changes("db"))
            })
        };
        prop_assert_eq!(add_up(true), add_up(false));
    }
}

fn saying(outcome: usize) -> Observation {
    match Outcome::ALL[outcome] {
        Outcome::Success => Observation::Success,
        Outcome::Warning => Observation::Warning("but".into()),
        Outcome::Failure => Reason::NotServing.into(),
        Outcome::Timeout => Reason::Timeout.into(),
        Outcome::Unknown => Reason::LocalResource.into(),
    }
}

fn answering(outcome: usize) -> Says {
    match Outcome::ALL[outcome] {
        Outcome::Success => Says::Yes,
        Outcome::Warning => Says::YesBut("but"),
        Outcome::Failure => Says::No,
        Outcome::Timeout => Says::Never,
        Outcome::Unknown => Says::Nothing,
    }
}
