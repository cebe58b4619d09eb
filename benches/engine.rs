//! What a run, an outcome and a probe request cost, at ten checks and at ten thousand.
//!
//! `cargo bench --features bench --bench engine` prints the times; their ratios are what matters:
//! an outcome and an answer must cost the same however many checks there are.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has to end")]

use std::future::ready;
use std::hint::black_box;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use vitalsign::bench::Engine;
use vitalsign::http::App;
use vitalsign::{Gate, Health, Outcome, every};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A check that does nothing against the same future on its own.
fn run(c: &mut Criterion) {
    let mut group = c.benchmark_group("run");
    let runtime = runtime();
    let engine = Engine::new(10);
    group.bench_function("bare", |b| {
        b.to_async(&runtime).iter(|| async { black_box(ready(Ok::<_, ()>(())).await) });
    });
    group.bench_function("check", |b| b.to_async(&runtime).iter(|| engine.run(3)));
    group.finish();
}

/// One outcome folded and published, with and without a change of status.
fn outcome(c: &mut Criterion) {
    let mut group = c.benchmark_group("outcome");
    for size in SIZES {
        let engine = Engine::new(size);
        let mut index = 0;
        group.bench_function(BenchmarkId::new("steady", size), |b| {
            b.iter(|| {
                index += 1;
                engine.fold(index, Outcome::Success);
            });
        });
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("changing", size), |b| {
            b.iter(|| {
                // Three failures take it down and one success brings it back.
                turn += 1;
                let outcome = if turn % 4 == 0 { Outcome::Success } else { Outcome::Failure };
                engine.fold(7, outcome);
            });
        });
    }
    group.finish();
}

/// `/ready` through the router, with ten gating checks among so many.
fn answer(c: &mut Criterion) {
    let mut group = c.benchmark_group("ready");
    for size in SIZES {
        let runtime = runtime();
        let app = runtime.block_on(serving(size));
        for (name, path) in [("plain", "/ready"), ("verbose", "/ready?verbose")] {
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.to_async(&runtime).iter(|| async {
                    let request = Request::get(path).body(Body::empty()).expect("a request");
                    let answer = app.clone().oneshot(request).await;
                    assert_eq!(answer.expect("an answer").status(), 200);
                });
            });
        }
    }
    group.finish();
}

/// The routes over `size` checks that have all run once, ten of which gate readiness.
async fn serving(size: usize) -> App {
    let mut builder = Health::builder("bench").max_concurrent_runs(size);
    for index in 0..size {
        let rarely = every(Duration::from_hours(1));
        let gates = if index < 10 { vec![Gate::Ready] } else { Vec::new() };
        let check = rarely.gates(gates).from_fn(|| ready(Ok::<_, std::io::Error>(())));
        builder = builder.check(format!("check-{index}"), check);
    }
    let health = builder.build().expect("the checks can be run");
    while health.state().snapshot().checks.iter().any(|check| check.last_run.is_none()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    health.into_app()
}

criterion_group!(benches, run, outcome, answer);
criterion_main!(benches);
