//! When checks run.

use std::collections::BTreeSet;
use std::sync::mpsc;

use vitalsign::{Gate, ServiceStatus};

use super::*;

fn gaps(starts: &[Instant]) -> Vec<Duration> {
    starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_run_starts_within_a_second_however_long_the_interval() {
    let built = Instant::now();
    let db = Dependency::that_says(Says::Yes);
    let _health = with_db(&db, every(SECOND * 3600)).await;
    assert!(db.asked()[0] - built < SECOND);
}

#[tokio::test(start_paused = true)]
async fn later_runs_keep_fixed_deadlines_however_long_they_take() {
    let db = Dependency::that_says(Says::Yes);
    let _health = with_db(&db, every(SECOND).timeout(millis(900))).await;
    for run in 0..20 {
        db.now_says(Says::YesAfter(millis(run * 37)));
        more_runs(&db, 1).await;
    }
    let starts = db.asked();
    // The first run is at once; the second is where the check's own phase lies.
    let second = starts[1] - starts[0];
    assert!((SECOND / 4..=SECOND * 5 / 4 + millis(1)).contains(&second), "{second:?}");
    assert_eq!(gaps(&starts[1..]), [SECOND; 19]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_checks_start_within_a_second_and_then_spread_over_the_interval() {
    let built = Instant::now();
    let (builder, _) = builder();
    let dependency = Dependency::that_says(Says::Yes);
    let builder = (0..10_000).fold(builder, |builder, i| {
        builder.check(format!("check-{i}"), dependency.check(every(SECOND * 10)))
    });
    let health = builder.build().unwrap();
    sleep(SECOND).await;
    let first: Vec<_> = dependency.asked().into_iter().map(|at| at - built).collect();
    assert_eq!(first.len(), 10_000);
    assert!(first.iter().all(|after| *after < SECOND));
    let moments: BTreeSet<_> = first.iter().map(Duration::as_millis).collect();
    assert!(moments.len() > 500, "all at {} moments", moments.len());
    assert_eq!(health.state().snapshot().status, ServiceStatus::Up);

    sleep(SECOND * 20).await;
    let later = |second: u64| {
        let second = SECOND * u32::try_from(second).unwrap();
        let asked = dependency.asked();
        asked.iter().filter(|at| (second..second + SECOND).contains(&(**at - built))).count()
    };
    for second in 15..20 {
        let runs = later(second);
        assert!((800..1200).contains(&runs), "{runs} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_due_run_that_finds_the_last_one_still_going_is_skipped_and_counted() {
    let db = Dependency::that_says(Says::Yes);
    let (_health, notes) = with_db(&db, every(SECOND).timeout(millis(500))).await;
    more_runs(&db, 1).await;
    db.now_says(Says::Block(millis(3500)));
    more_runs(&db, 1).await;
    db.now_says(Says::Yes);
    more_runs(&db, 3).await;
    assert_eq!(gaps(&db.asked()[1..]), [SECOND, SECOND * 4, SECOND, SECOND]);
    assert_eq!(notes.count("db", Told::Skipped(SkipReason::Overrun)), 3);
    assert_eq!(notes.count("db", Told::Run(Outcome::Timeout)), 1, "it answered too late");
    assert_eq!(db.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_beyond_the_limit_is_skipped_and_counted() {
    let slow = Dependency::that_says(Says::YesAfter(millis(400)));
    let (builder, notes) = builder();
    let builder = ["a", "b", "c", "d"]
        .into_iter()
        .fold(builder, |builder, name| builder.check(name, slow.check(every(SECOND))));
    let _health = builder.max_concurrent_runs(2).build().unwrap();
    sleep(millis(100)).await;
    assert_eq!(slow.held(), 2);
    let skipped = Told::Skipped(SkipReason::Limit);
    assert_eq!((notes.count("c", skipped), notes.count("d", skipped)), (1, 1));
    assert_eq!((notes.of("a").len(), notes.of("b").len()), (0, 0));
    sleep(SECOND * 10).await;
    assert_eq!(slow.most_at_once(), 2);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_checks() {
    let db = Dependency::that_says(Says::YesAfter(millis(100)));
    let (health, _) = with_db(&db, every(SECOND)).await;
    let clone = health.clone();
    drop(health);
    more_runs(&db, 2).await;
    drop(clone);
    sleep(millis(1)).await;
    assert_eq!(db.held(), 0, "the run in flight is cancelled");
    let runs = db.asked().len();
    sleep(SECOND * 5).await;
    assert_eq!(db.asked().len(), runs);
}

#[test]
fn a_check_runtime_that_hangs_delays_no_answer_keeps_nothing_green_and_ends_liveness() {
    let runtime = || tokio::runtime::Builder::new_multi_thread();
    let checks = runtime().worker_threads(1).enable_all().build().unwrap();
    let serving = runtime().worker_threads(1).enable_all().build().unwrap();
    let (release, blocker) = mpsc::channel::<()>();
    let blocker = Mutex::new(blocker);
    serving.block_on(async {
        let health = Health::builder("orders")
            .check_runtime(checks.handle().clone())
            .liveness_timeout(SECOND)
            .check(
                "fast",
                every(millis(50)).timeout(millis(20)).from_fn(|| async { Ok::<_, Failure>(()) }),
            )
            .build()
            .unwrap();
        until(|| status(&health, "fast") == Status::Up).await;
        checks.handle().spawn(async move {
            let _ = blocker.lock().map(|blocker| blocker.recv());
        });
        until(|| status(&health, "fast") == Status::Unknown).await;
        assert_eq!(health.state().answer(Gate::Ready, &[""; 0]).status, ServiceStatus::Down);
        let live = || health.state().answer(Gate::Health, &[""; 0]).status;
        until(|| live() == ServiceStatus::Down).await;
        drop(release);
        until(|| live() == ServiceStatus::Up && health.ready()).await;
    });
    checks.shutdown_background();
}
