//! Memory over many reloads, each of which replaces every check by another.

use std::fmt::Write as _;
use std::fs;

use rustix::process::Signal;

use crate::support::daemon::wait_for;
use crate::support::service::Service;

/// Reloads until everything that is bounded has its size, and those that must add nothing.
const WARM: usize = 10;
const MORE: usize = 20;
const CHECKS: usize = 200;

/// A build that is optimized stays below 2 MiB; this one takes more for all that it does at once.
const GROWTH: u64 = 4 << 20;

/// Checks of names that no other round has.
fn config(round: usize) -> String {
    let mut text = "[defaults]\ninterval = \"1s\"\n".to_owned();
    for number in 0..CHECKS {
        let check = format!(
            "[checks.round-{round}-{number}]\nkind = \"file\"\npath = \"vitalsign.toml\"\n"
        );
        text.write_str(&check).expect("memory");
    }
    text
}

/// Bytes of memory of its own that the process has in use.
fn held(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a figure");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

#[tokio::test]
async fn checks_that_come_and_go_leave_no_memory_behind() {
    let service = Service::start(&config(0)).await;
    let mut warm = 0;
    for round in 1..=WARM + MORE {
        let path = service.dir.path().join("vitalsign.toml");
        fs::write(path.with_extension("new"), config(round)).expect("a file");
        fs::rename(path.with_extension("new"), path).expect("in its place");
        service.signal(Signal::HUP);
        // The last of its checks has run, so the history has rows of all.
        let last = format!("/ready/round-{round}-{}", CHECKS - 1);
        wait_for("the reload", async || service.get(&last).await.status == 200).await;
        if round == WARM {
            warm = held(&service);
        }
    }
    // What the last reload removed is written and forgotten.
    wait_for("the memory to be free", async || held(&service) < warm + GROWTH).await;
}
