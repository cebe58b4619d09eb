//! How many bytes are held, which only a process that does nothing else can count.

use std::alloc::System;
use std::process::Command;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Set in a process that runs one test alone.
const ALONE: &str = "VITALSIGN_TEST_ALONE";

/// Whether this process runs the test of this path alone. In any other, such a process is started,
/// and the test must succeed there.
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    // The path of a module begins with its crate, and that of a test does not.
    let (_, test) = test.split_once("::").expect("a path");
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", test, "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("it can be started");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

/// Counts the bytes of this process from a moment on.
pub(crate) struct Held(Region<'static, System>);

impl Held {
    pub(crate) fn begin() -> Self {
        Self(Region::new(ALLOCATOR))
    }

    /// How many more there are now.
    pub(crate) fn bytes(&self) -> usize {
        let change = self.0.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    }
}
