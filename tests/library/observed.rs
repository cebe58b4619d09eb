//! Runs and observed calls in a host's recorder, as the page shows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusHandle;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::sleep;
use vitalsign::check::Options;
use vitalsign::{
    Check, Context, Declared, Detail, Failure, Health, Measurement, Observation, Phase, Reason,
    Window, every,
};

use super::recorder::{compare, recorded};

const SECOND: Duration = Duration::from_secs(1);

const LAG: Measurement = Measurement { name: "replication_lag_seconds", help: "How far behind." };

/// What a dependency says to whoever asks.
#[derive(Debug, Clone, Copy)]
enum Says {
    Yes,
    But,
    No,
    /// There is no means to ask it.
    Nothing,
    Never,
}

const ALL: [Says; 5] = [Says::Yes, Says::But, Says::No, Says::Nothing, Says::Never];

/// Something that happens to a service.
#[derive(Debug, Clone)]
enum Step {
    /// The host's own call, and how many milliseconds it took.
    Call(Says, u64),
    /// The checks run for so many seconds.
    Runs(Says, u64),
    Maintenance(bool),
    /// The check is declared anew.
    Plan(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let says = || proptest::sample::select(&ALL[..]);
    let step = prop_oneof![
        6 => (says(), 0_u64..300).prop_map(|(says, took)| Step::Call(says, took)),
        4 => (says(), 0_u64..6).prop_map(|(says, seconds)| Step::Runs(says, seconds)),
        1 => any::<bool>().prop_map(Step::Maintenance),
        1 => (1_u64..4).prop_map(Step::Plan),
    ];
    proptest::collection::vec(step, 1..25)
}

fn options(interval: u64) -> Options {
    every(SECOND * u32::try_from(interval).unwrap())
        .timeout(Duration::from_millis(400))
        .failure_threshold(2)
        .degraded_after(Duration::from_millis(100))
}

/// Tells a phase and, unless there are no means to run, a figure.
struct Asked(Arc<AtomicU8>);

#[async_trait]
impl Check for Asked {
    fn kind(&self) -> &'static str {
        "asked"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let says = ALL[usize::from(self.0.load(Ordering::Relaxed))];
        if matches!(says, Says::Nothing) {
            return Err(Failure::new(Reason::LocalResource, "no descriptor"));
        }
        cx.phase(Phase::Connect, sleep(Duration::from_millis(1))).await;
        cx.measure(&LAG, 0.5);
        match says {
            Says::Yes | Says::Nothing => Ok(Detail::ok()),
            Says::But => Ok(Detail::warning("it lags")),
            Says::No => Err(Failure::new(Reason::QueryFailed, "no such table")),
            Says::Never => std::future::pending().await,
        }
    }
}

/// A check that is observed, and one that depends on it.
fn checks(interval: u64, says: &Arc<AtomicU8>) -> Vec<(String, Declared)> {
    let shop = every(SECOND).spare_when_observed(true).depends_on("db");
    vec![
        ("db".to_owned(), options(interval).check(Asked(Arc::clone(says)))),
        ("shop".to_owned(), shop.check(Asked(Arc::default()))),
    ]
}

/// A service with these checks, and what its recorder shows.
fn service(says: &Arc<AtomicU8>) -> (Health, PrometheusHandle) {
    let builder = Health::builder("small").metric_label("app", "small");
    let add = |builder: vitalsign::Builder, (name, check)| builder.check(name, check);
    recorded(checks(1, says).into_iter().fold(builder, add))
}

fn observation(says: Says) -> Observation {
    match says {
        Says::Yes => Observation::Success,
        Says::But => Observation::Warning("it lags".to_owned()),
        Says::No => Reason::QueryFailed.into(),
        Says::Nothing => Reason::LocalResource.into(),
        Says::Never => Reason::Timeout.into(),
    }
}

/// The recorder has what the page shows, and beside it only what is not known any more.
fn assert_agreed(health: &Health, handle: &PrometheusHandle) {
    let (_, rest) = compare(health, handle);
    assert!(rest.values().all(|value| value.is_nan()), "recorded beside: {rest:?}");
}

async fn follow(steps: Vec<Step>) {
    let says = Arc::new(AtomicU8::new(0));
    let (health, handle) = service(&says);
    let (db, shop) = (health.observe("db").unwrap(), health.observe("shop").unwrap());
    assert_agreed(&health, &handle);
    for step in steps {
        match step {
            Step::Call(says, took) => {
                let took = Duration::from_millis(took);
                db.record(observation(says), took);
                shop.record(observation(says), took);
            }
            Step::Runs(answer, seconds) => {
                says.store(answer as u8, Ordering::Relaxed);
                sleep(SECOND * u32::try_from(seconds).unwrap()).await;
            }
            Step::Maintenance(on) => {
                let now = SystemTime::now();
                let window = || Window::once(now - SECOND, now + SECOND * 3600).unwrap();
                health.set_maintenance(on.then(window).into_iter().collect());
            }
            Step::Plan(interval) => {
                health.set_checks(checks(interval, &says)).unwrap();
            }
        }
        assert_agreed(&health, &handle);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn a_recorder_and_the_page_agree_after_every_run_and_observed_call(steps in steps()) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(follow(steps));
    }
}

#[tokio::test]
async fn no_call_is_lost_to_a_recorder_when_many_threads_observe_one_check() {
    const CALLS: u32 = 2_000;
    let says = Arc::new(AtomicU8::new(0));
    let (health, handle) = service(&says);
    let db = health.observe("db").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = db.clone();
            scope.spawn(move || {
                for call in 0..CALLS {
                    let says = if call % 3 == thread % 3 { Says::No } else { Says::Yes };
                    db.record(observation(says), Duration::from_micros(u64::from(call)));
                }
            });
        }
    });
    let (page, rest) = compare(&health, &handle);
    assert!(rest.values().all(|value| value.is_nan()), "recorded beside: {rest:?}");
    let runs = "health_check_duration_seconds_count{\"app\": \"small\", \"check\": \"db\", \
                \"kind\": \"asked\"}";
    assert!(page[runs] >= f64::from(CALLS) * 4.0, "{}", page[runs]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_observed_after_the_end_are_recorded_nowhere() {
    let (health, handle) = service(&Arc::default());
    let db = health.observe("db").unwrap();
    sleep(SECOND).await;
    drop(health);
    // A recorder lists its series in no order.
    let shown = || {
        let page = handle.render();
        page.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let before = shown();
    db.success(Duration::from_millis(3));
    (0..5).for_each(|_| db.failure(Reason::Other, Duration::from_millis(3)));
    assert_eq!(shown(), before);
}
