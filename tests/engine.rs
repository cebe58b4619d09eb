//! The engine's stories, told in paused time: when checks run, what comes of a run, what runs add
//! up to, and what a new plan leaves alone.

mod maintenance;
mod manual;
mod observe;
mod observe_told;
mod plans;
mod reload;
mod runs;
mod schedule;
mod spans;
mod status;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use vitalsign::{
    Builder, CheckInfo, CheckView, Declared, Detail, Event, Failure, Health, Options, Outcome,
    Reason, Sink, SkipReason, Status, every,
};

const SECOND: Duration = Duration::from_secs(1);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a dependency answers.
#[derive(Debug, Clone, Copy)]
enum Says {
    Yes,
    YesBut(&'static str),
    No,
    /// It cannot be asked: the run is unknown.
    Nothing,
    YesAfter(Duration),
    Never,
    /// Yes, after holding the runtime's only thread for as long.
    Block(Duration),
    Panic,
    /// Nothing at all, and the check panics when it is cancelled.
    PanicWhenDropped,
}

/// A dependency that answers as it is told and remembers how it was asked.
#[derive(Debug)]
struct Dependency {
    says: Mutex<Says>,
    asked: Mutex<Vec<Instant>>,
    answered: AtomicUsize,
    now: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Dependency {
    fn that_says(says: Says) -> Arc<Self> {
        let asked = Mutex::default();
        let [answered, now, most_at_once] = [0; 3].map(AtomicUsize::new);
        Arc::new(Self { says: Mutex::new(says), asked, answered, now, most_at_once })
    }

    fn now_says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// A check of it.
    fn check(self: &Arc<Self>, options: Options) -> Declared {
        let dependency = Arc::clone(self);
        options.from_fn(move || Arc::clone(&dependency).ask())
    }

    /// When each run started.
    fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }

    /// Runs that ended by themselves.
    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Runs going on.
    fn held(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    async fn ask(self: Arc<Self>) -> Result<Detail, Failure> {
        let says = *self.says.lock().unwrap();
        self.asked.lock().unwrap().push(Instant::now());
        let held = Held::of(&self);
        match says {
            Says::Yes => {}
            Says::YesBut(caveat) => return Ok(Detail::warning(caveat)),
            Says::No => return Err(Failure::new(Reason::NotServing, "not now")),
            Says::Nothing => return Err(Failure::new(Reason::LocalResource, "no descriptor")),
            Says::YesAfter(time) => sleep(time).await,
            Says::Block(time) => advance(time).await,
            Says::Never => std::future::pending().await,
            Says::Panic => panic!("a bug"),
            Says::PanicWhenDropped => {
                let _bomb = Bomb;
                std::future::pending::<()>().await;
            }
        }
        drop(held);
        self.answered.fetch_add(1, Ordering::SeqCst);
        Ok(Detail::ok())
    }
}

/// What a run holds, such as a connection, and frees however it ends.
struct Held<'a>(&'a Dependency);

impl<'a> Held<'a> {
    fn of(dependency: &'a Dependency) -> Self {
        let now = dependency.now.fetch_add(1, Ordering::SeqCst) + 1;
        dependency.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(dependency)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a bug while cleaning up");
    }
}

/// A sink that remembers what it was told.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(String, Told)>>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Run(Outcome),
    /// So many good calls, and others.
    Observed(u64, u64),
    Changed(Status, Status),
    Skipped(SkipReason),
    Maintenance(bool),
    Removed,
}

impl Notes {
    fn of(&self, check: &str) -> Vec<Told> {
        let notes = self.0.lock().unwrap();
        notes.iter().filter(|(name, _)| name == check).map(|(_, told)| *told).collect()
    }

    fn changes(&self, check: &str) -> Vec<(Status, Status)> {
        let change = |told| match told {
            Told::Changed(from, to) => Some((from, to)),
            _ => None,
        };
        self.of(check).into_iter().filter_map(change).collect()
    }

    fn count(&self, check: &str, wanted: Told) -> usize {
        self.of(check).into_iter().filter(|told| *told == wanted).count()
    }
}

impl Sink for Notes {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        let told = match event {
            Event::Run { run, .. } => Told::Run(run.outcome),
            Event::Observed(calls) => {
                let sum = |good| {
                    let of = Outcome::ALL.iter().filter(|outcome| outcome.is_good() == good);
                    of.map(|outcome| calls.count(*outcome)).sum()
                };
                Told::Observed(sum(true), sum(false))
            }
            Event::Transition(transition) => Told::Changed(transition.from, transition.to),
            Event::Skipped(reason) => Told::Skipped(reason),
            Event::Maintenance(on) => Told::Maintenance(on),
            Event::Removed => Told::Removed,
        };
        self.0.lock().unwrap().push((info.name.to_string(), told));
    }
}

fn builder() -> (Builder, Arc<Notes>) {
    let notes = Arc::<Notes>::default();
    (Health::builder("orders").sink(Arc::clone(&notes) as Arc<dyn Sink>), notes)
}

/// The health of one check, `db`, once its first run has started.
async fn with_db(dependency: &Arc<Dependency>, options: Options) -> (Health, Arc<Notes>) {
    let (builder, notes) = builder();
    let health = builder.check("db", dependency.check(options)).build().unwrap();
    until(|| !dependency.asked().is_empty()).await;
    (health, notes)
}

fn view(health: &Health, check: &str) -> CheckView {
    health.state().check(check).expect("a check of the plan")
}

fn status(health: &Health, check: &str) -> Status {
    view(health, check).status
}

/// Lets time pass until `condition` holds, for at most a minute of it.
async fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < SECOND * 60, "it never came true");
        sleep(millis(1)).await;
    }
}

/// Lets time pass until `dependency` was asked `runs` more times; a run that answers at once is
/// then recorded as well.
async fn more_runs(dependency: &Dependency, runs: usize) {
    let before = dependency.asked().len();
    until(|| dependency.asked().len() >= before + runs).await;
}
