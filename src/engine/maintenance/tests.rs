//! Windows that open and close by a clock which the test sets, in paused time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::time::{Instant, sleep};

use super::*;
use crate::engine::state::{Planned, ServiceInfo, Setup};
use crate::model::{CheckInfo, Event, Gates, Sink};

const SECOND: Duration = Duration::from_secs(1);
const NOON: Duration = Duration::from_hours(500_000 + 12);

/// Records the events about windows that begin or end, by check.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(String, bool)>>);

impl Notes {
    /// The events since the last call.
    fn take(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }
}

impl Sink for Notes {
    fn record(&self, info: &Arc<CheckInfo>, event: Event<'_>) {
        if let Event::Maintenance(on) = event {
            let mut notes = self.0.lock().expect("nobody panics with it");
            notes.push((info.name.to_string(), on));
        }
    }
}

fn noted(pairs: &[(&str, bool)]) -> Vec<(String, bool)> {
    pairs.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect()
}

fn info(name: &str) -> Arc<CheckInfo> {
    Arc::new(CheckInfo {
        name: name.into(),
        kind: "function",
        description: None,
        gates: Gates::READY,
        depends_on: Vec::new(),
        groups: Vec::new(),
        labels: BTreeMap::new(),
        interval: SECOND,
        timeout: SECOND / 2,
        failure_threshold: 1,
        success_threshold: 1,
        degraded_after: None,
        objective: None,
        propagate: true,
        server: None,
    })
}

fn plan(names: &[&str]) -> Vec<Planned> {
    names.iter().map(|name| Planned::Changed(info(name))).collect()
}

/// Windows over a state whose wall clock goes with paused time, unless it is set.
struct Story {
    state: Arc<HealthState>,
    notes: Arc<Notes>,
    maintenance: Arc<Maintenance>,
    set_by: Arc<AtomicI64>,
}

impl Story {
    fn of(checks: &[&str], windows: Vec<Window>) -> Self {
        let notes = Arc::<Notes>::default();
        let text = String::new;
        let service =
            ServiceInfo { name: text(), version: text(), instance: text(), environment: None };
        let state = Arc::new(HealthState::new(Setup {
            service,
            keeps_tail: false,
            trace_url: None,
            labels: crate::engine::state::Labels::default(),
            series_sink: None,
            sinks: vec![Arc::clone(&notes) as Arc<dyn Sink>],
            tolerated_ticks: 3,
            remembered: crate::engine::state::Remembered::default(),
        }));
        let set_by = Arc::<AtomicI64>::default();
        let (began, set) = (Instant::now(), Arc::clone(&set_by));
        let clock = move || {
            let now = SystemTime::UNIX_EPOCH + NOON + began.elapsed();
            let seconds = set.load(Ordering::SeqCst);
            let by = SECOND * u32::try_from(seconds.unsigned_abs()).expect("few");
            if seconds < 0 { now - by } else { now + by }
        };
        let maintenance = Maintenance::with_clock(Arc::clone(&state), windows, Box::new(clock));
        state.apply(plan(checks));
        tokio::spawn(Arc::clone(&maintenance).keep());
        Self { state, notes, maintenance, set_by }
    }

    /// Sets the wall clock to so many seconds from what it would be.
    fn set_clock(&self, seconds: i64) {
        self.set_by.store(seconds, Ordering::SeqCst);
    }

    fn maintained(&self) -> Vec<String> {
        let checks = self.state.snapshot().checks;
        checks.iter().filter(|c| c.maintenance).map(|c| c.info.name.to_string()).collect()
    }
}

/// A window by seconds after noon.
fn window(from: u32, until: u32) -> Window {
    let at = |seconds| SystemTime::UNIX_EPOCH + NOON + SECOND * seconds;
    Window::once(at(from), at(until)).expect("a window")
}

#[tokio::test(start_paused = true)]
async fn a_window_opens_and_closes_on_time() {
    let story = Story::of(&["db", "cache"], vec![window(100, 200).for_checks(["db"])]);
    sleep(Duration::from_millis(99_990)).await;
    assert_eq!(story.notes.take(), []);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(story.notes.take(), noted(&[("db", true)]));
    assert_eq!(story.maintained(), ["db"]);
    sleep(Duration::from_millis(99_980)).await;
    assert_eq!(story.notes.take(), []);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(story.notes.take(), noted(&[("db", false)]));
    assert_eq!(story.maintained(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_is_noticed_soon_in_either_direction() {
    let story = Story::of(&["db"], vec![window(1000, 2000), window(5000, 6000)]);
    sleep(SECOND).await;
    for (set_to, on) in [(1500, true), (-50, false), (5500, true), (1500, true), (7000, false)] {
        story.set_clock(set_to);
        sleep(LOOK + SECOND / 100).await;
        assert_eq!(!story.maintained().is_empty(), on, "{set_to}");
    }
    let changes = noted(&[("db", true), ("db", false), ("db", true), ("db", false)]);
    assert_eq!(story.notes.take(), changes, "from one window into another nothing changes");
}

#[tokio::test(start_paused = true)]
async fn windows_that_overlap_are_one_for_the_check_that_both_hold() {
    let ours = window(10, 30).for_checks(["db", "cache"]);
    let story = Story::of(&["db", "cache", "mail"], vec![ours, window(20, 40)]);
    sleep(SECOND * 15).await;
    assert_eq!(story.notes.take(), noted(&[("cache", true), ("db", true)]));
    sleep(SECOND * 10).await;
    assert_eq!(story.notes.take(), noted(&[("mail", true)]));
    sleep(SECOND * 10).await;
    assert_eq!(story.notes.take(), []);
    sleep(SECOND * 10).await;
    assert_eq!(story.notes.take(), noted(&[("cache", false), ("db", false), ("mail", false)]));
}

#[tokio::test(start_paused = true)]
async fn windows_that_are_replaced_count_at_once() {
    let story = Story::of(&["db", "cache"], Vec::new());
    // Nothing has woken the task by then.
    sleep(SECOND).await;
    story.maintenance.set(vec![window(0, 100).for_checks(["db"])]);
    assert_eq!(story.notes.take(), noted(&[("db", true)]));
    story.maintenance.set(vec![window(0, 100).for_checks(["cache", "db"])]);
    assert_eq!(story.notes.take(), noted(&[("cache", true)]));
    story.maintenance.set(Vec::new());
    assert_eq!(story.notes.take(), noted(&[("cache", false), ("db", false)]));
    sleep(SECOND).await;
    story.maintenance.set(vec![window(50, 100)]);
    assert_eq!(story.notes.take(), []);
    sleep(SECOND * 48 + SECOND / 100).await;
    assert_eq!(story.notes.take(), noted(&[("cache", true), ("db", true)]));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_a_plan_brings_is_in_its_window_from_its_first_moment() {
    let all = Story::of(&["db"], vec![window(0, 100)]);
    assert_eq!(all.notes.take(), noted(&[("db", true)]));
    all.state.apply(plan(&["db", "late"]));
    assert_eq!(all.notes.take(), noted(&[("late", true)]));
    assert_eq!(all.maintained(), ["db", "late"]);

    let story = Story::of(&["db"], Vec::new());
    let windows = vec![window(0, 100).for_checks(["late"])];
    story.maintenance.set_around(windows, || {
        story.state.apply(plan(&["db", "late"]));
        assert_eq!(story.maintained(), ["late"]);
    });
    assert_eq!(story.notes.take(), noted(&[("late", true)]));
}

#[tokio::test(start_paused = true)]
async fn a_check_leaves_the_plan_before_its_window_ends() {
    let story = Story::of(&["db", "old"], vec![window(0, 100).for_checks(["db", "old"])]);
    story.notes.take();
    let kept = window(0, 200).for_checks(["db"]);
    story.maintenance.set_around(vec![kept], || story.state.apply(plan(&["db"])));
    assert_eq!(story.notes.take(), [], "one is gone, and the other goes on under another window");
    assert_eq!(story.maintained(), ["db"]);
}

#[tokio::test(start_paused = true)]
async fn without_windows_the_clock_is_not_looked_at() {
    let story = Story::of(&["db"], Vec::new());
    assert_eq!(story.maintenance.look(), None);
    story.maintenance.set(vec![window(2, 3)]);
    assert_eq!(story.maintenance.look(), Some(LOOK));
    sleep(SECOND * 3 / 2).await;
    assert!(story.maintenance.look().is_some_and(|wait| wait <= SECOND / 2));
}
