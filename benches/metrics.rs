//! Time to render the metrics page, and series per second, by the number of checks.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that cannot go on stops")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use vitalsign::metrics::{Format, encode};
use vitalsign::{Failure, Health, Reason, every};

/// A health of `checks` checks, each of which has run once; every tenth failed.
fn filled(runtime: &Runtime, checks: usize) -> Health {
    runtime.block_on(async {
        let mut builder = Health::builder("bench");
        for number in 0..checks {
            let check =
                every(Duration::from_mins(10)).objective(99.9).from_fn(move || async move {
                    if number % 10 == 0 {
                        Err(Failure::new(Reason::Other, "tenth"))
                    } else {
                        Ok(())
                    }
                });
            builder = builder.check(format!("check-{number:05}"), check);
        }
        let health = builder.build().expect("the checks can be run");
        while health.state().snapshot().checks.iter().any(|check| check.last_run.is_none()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        health
    })
}

fn series(page: &[u8]) -> u64 {
    let page = std::str::from_utf8(page).expect("the page is UTF-8");
    page.lines().filter(|line| !line.starts_with('#')).count() as u64
}

fn rendering(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("metrics page");
    for checks in [10, 1_000, 10_000] {
        let health = filled(&runtime, checks);
        for (name, format) in [("text", Format::Text), ("openmetrics", Format::OpenMetrics)] {
            group.throughput(Throughput::Elements(series(&encode(health.state(), format))));
            group.sample_size(if checks == 10_000 { 10 } else { 50 });
            group.bench_function(BenchmarkId::new(name, checks), |b| {
                b.iter(|| black_box(encode(health.state(), format)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, rendering);
criterion_main!(benches);
