//! What the service costs beside bare programs that do only the unavoidable work, in one run.
//!
//! `cargo bench --bench beside` starts the release binary, a bare axum route, a bare hyper loop
//! and the server that both check, each in a process of its own on loopback, and prints what each
//! took of the CPU. Ratios of one run are what to look at; the machine should be idle otherwise.
//! Linux alone: times and sizes come from `/proc`. Without `--bench`, as tests run it, everything
//! is done once, briefly.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has to end")]

mod anchors;
mod load;
mod process;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use process::Process;
use tokio::time::{Instant, sleep};

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    seconds: u64,
    few: usize,
    many: usize,
    pages: usize,
}

const FULL: Scale = Scale { rounds: 3, seconds: 15, few: 1_000, many: 10_000, pages: 20 };
const BRIEF: Scale = Scale { rounds: 1, seconds: 1, few: 10, many: 20, pages: 2 };

fn main() {
    if let Ok(role) = std::env::var(process::ROLE) {
        return anchors::play(&role);
    }
    let scale = if std::env::args().any(|arg| arg == "--bench") { FULL } else { BRIEF };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        probes(scale).await;
        checks(scale).await;
        fleet(scale).await;
        starts(scale).await;
        idle(scale).await;
    });
}

/// CPU of an answer to `/ready`, through the whole stack and from a bare route.
async fn probes(scale: Scale) {
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..scale.rounds {
        for (peer, taken) in taken.iter_mut().enumerate() {
            let process =
                if peer == 0 { Process::anchor("axum", &[]) } else { Process::service("").await };
            let length = Duration::from_secs(scale.seconds.min(5));
            let before = process.cpu();
            let answers = load::ask(process.address, 64, length).await;
            taken.push((process.cpu() - before) / answers as f64);
        }
    }
    report("CPU of an answer to /ready", "µs", 1e6, &mut taken, "bare axum");
}

/// CPU of a check, memory, and how steady the time between two runs is.
async fn checks(scale: Scale) {
    let period = Duration::from_secs(1);
    let mut taken = [Vec::new(), Vec::new()];
    let mut sizes = [0.0; 2];
    let mut errors = [0.0; 2];
    for _ in 0..scale.rounds {
        for peer in 0..2 {
            let target = Process::anchor("target", &[]);
            let process = if peer == 0 {
                Process::anchor("loop", &[target.address.to_string(), scale.few.to_string()])
            } else {
                Process::service(&config(target.address, scale.few, period)).await
            };
            sleep(period * 2).await;
            load::report(target.address).await;
            let before = process.cpu();
            sleep(Duration::from_secs(scale.seconds)).await;
            let spent = process.cpu() - before;
            let seen = load::report(target.address).await;
            taken[peer].push(spent / seen.requests.max(1) as f64);
            sizes[peer] = process.resident();
            errors[peer] = seen.error_p99;
        }
    }
    let what = format!("CPU of 1,000 checks, {} of them a second apart", scale.few);
    report(&what, "ms", 1e6, &mut taken, "bare hyper loop");
    println!("  memory: {:.1} MiB, bare {:.1} MiB", sizes[1], sizes[0]);
    println!(
        "  interval between runs off by {:.2} ms at the 99th percentile, bare {:.2} ms",
        errors[1], errors[0]
    );
}

/// Memory and the page of metrics with many checks.
async fn fleet(scale: Scale) {
    let period = Duration::from_secs(10);
    let target = Process::anchor("target", &[]);
    let process = Process::service(&config(target.address, scale.many, period)).await;
    let (begun, before) = (Instant::now(), process.cpu());
    sleep(Duration::from_secs(scale.seconds)).await;
    let resident = process.resident();
    let of_checks = (process.cpu() - before) / begun.elapsed().as_secs_f64();
    let (begun, before) = (Instant::now(), process.cpu());
    let mut series = 0;
    for _ in 0..scale.pages {
        let page = load::get(process.address, "/metrics").await;
        series += page.lines().filter(|line| !line.starts_with('#')).count();
    }
    // The checks go on meanwhile.
    let spent = process.cpu() - before - of_checks * begun.elapsed().as_secs_f64();
    println!("{} checks: {resident:.1} MiB", scale.many);
    println!("  /metrics: {:.3} µs of CPU a series", spent * 1e6 / series.max(1) as f64);
}

/// From start to the first answer.
async fn starts(scale: Scale) {
    let target = Process::anchor("target", &[]);
    let mut taken = Vec::new();
    for _ in 0..scale.rounds * 3 {
        let config = config(target.address, scale.few, Duration::from_secs(1));
        taken.push(Process::service(&config).await.started_within.as_secs_f64());
    }
    println!("start to first answer, {} checks: {:.0} ms", scale.few, median(&mut taken) * 1e3);
}

/// CPU of checks that wait for their turn, beside the service without any.
async fn idle(scale: Scale) {
    let target = Process::anchor("target", &[]);
    let mut taken = [0.0; 2];
    for (checks, taken) in [0, scale.few].into_iter().zip(&mut taken) {
        let config = config(target.address, checks, Duration::from_hours(1));
        let process = Process::service(&config).await;
        // Each runs once within the first second.
        sleep(Duration::from_secs(3)).await;
        let (begun, before) = (Instant::now(), process.cpu());
        sleep(Duration::from_secs(scale.seconds)).await;
        *taken = (process.cpu() - before) / begun.elapsed().as_secs_f64();
    }
    let [without, with] = taken.map(|share| share * 100.0);
    println!(
        "idle, {} checks an hour apart: {with:.2} % of a core, without checks {without:.2} %",
        scale.few
    );
}

fn config(target: SocketAddr, checks: usize, interval: Duration) -> String {
    let mut text = String::new();
    for index in 0..checks {
        let interval = interval.as_millis();
        let _ = write!(
            text,
            "[checks.c{index}]\nkind = \"http\"\nurl = \"http://{target}/{index}\"\n\
             interval = \"{interval}ms\"\n"
        );
    }
    text
}

fn report(what: &str, unit: &str, factor: f64, taken: &mut [Vec<f64>; 2], bare: &str) {
    let [beside, ours] = taken.each_mut().map(|times| median(times));
    let (ours_shown, beside_shown) = (ours * factor, beside * factor);
    println!(
        "{what}: {ours_shown:.2} {unit}, {bare} {beside_shown:.2}: ratio {:.2}",
        ours / beside
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
