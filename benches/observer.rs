//! What it costs a host to report a call, beside the least that counting one could cost.
//!
//! `cargo bench --bench observer` prints the times, their ratios to a bare atomic increment and a
//! bare mutex around a number, and what a call allocates: a success must allocate nothing, or the
//! benchmark fails, as it does when it is only tried (`cargo test --bench observer`).

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has to end")]

use std::alloc::System;
use std::future::ready;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use vitalsign::{Health, Observer, Reason, every};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALL: Duration = Duration::from_micros(1_730);

/// Calls of one figure, when figures are wanted.
const CALLS: u32 = 2_000_000;

/// An observer of a check that is up. Nothing else runs: the runtime is not driven any more.
fn observed() -> (Runtime, Health, Observer) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let health = runtime.block_on(async {
        let check = every(Duration::from_hours(1)).from_fn(|| ready(Ok::<_, std::io::Error>(())));
        let health = Health::builder("bench").check("database", check).build();
        let health = health.expect("the check can be run");
        while !health.ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        health
    });
    let observer = health.observe("database").expect("it exists");
    observer.success(CALL);
    (runtime, health, observer)
}

/// Nanoseconds of each of `calls` calls of `f`.
fn nanos(calls: u32, mut f: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        f();
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

/// How often memory was asked for while `f` ran.
fn allocations(f: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    f();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Nanoseconds between two calls of all threads together, when each makes so many.
fn contended(observer: &Observer, threads: u32, calls: u32) -> f64 {
    let together = Barrier::new(threads as usize);
    let longest = thread::scope(|scope| {
        let each = || {
            together.wait();
            nanos(calls, || observer.success(black_box(CALL)))
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(each)).collect();
        let times = running.into_iter().map(|thread| thread.join().expect("it ends"));
        times.fold(0.0, f64::max)
    });
    longest / f64::from(threads)
}

fn figures(_: &mut Criterion) {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let calls = if measured { CALLS } else { 1_000 };
    let (_runtime, _health, observer) = observed();
    let (number, guarded) = (AtomicU64::new(0), Mutex::new(0_u64));

    let atomic = nanos(calls, || {
        black_box(&number).fetch_add(1, Ordering::Relaxed);
    });
    let mutex = nanos(calls, || {
        *black_box(&guarded).lock().unwrap_or_else(PoisonError::into_inner) += 1;
    });
    let mut success = 0.0;
    let allocated = allocations(|| {
        success = nanos(calls, || observer.success(black_box(CALL)));
    });
    let mut timed = 0.0;
    let allocated_timed = allocations(|| timed = nanos(calls, || observer.start().success()));
    let failure = nanos(calls, || observer.failure(Reason::Other, black_box(CALL)));
    // The status is down by now: back to up, for the next figure to be of the usual call.
    observer.success(CALL);

    println!("atomic increment  {atomic:>8.1} ns");
    println!("mutex             {mutex:>8.1} ns");
    let ratio = success / mutex;
    println!("success           {success:>8.1} ns  {ratio:.1} of a mutex, {allocated} allocations");
    println!("timed success     {timed:>8.1} ns  {allocated_timed} allocations");
    println!("failure           {failure:>8.1} ns  of a check that is down");
    for threads in [2, 4] {
        let shared = contended(&observer, threads, calls / threads);
        println!("{threads} threads at once {shared:>8.1} ns  a call, of one check");
    }
    assert_eq!((allocated, allocated_timed), (0, 0), "a success allocates");
}

fn calls(c: &mut Criterion) {
    let (_runtime, _health, observer) = observed();
    let mut group = c.benchmark_group("observe");
    let (number, guarded) = (AtomicU64::new(0), Mutex::new(0_u64));
    group.bench_function("atomic increment", |b| {
        b.iter(|| black_box(&number).fetch_add(1, Ordering::Relaxed));
    });
    group.bench_function("mutex", |b| {
        b.iter(|| *black_box(&guarded).lock().unwrap_or_else(PoisonError::into_inner) += 1);
    });
    group.bench_function("success", |b| b.iter(|| observer.success(black_box(CALL))));
    group.bench_function("timed success", |b| b.iter(|| observer.start().success()));
    group.finish();
}

criterion_group!(benches, figures, calls);
criterion_main!(benches);
