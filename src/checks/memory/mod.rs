//! The `memory` kind: memory that is still available to this process.

mod pools;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::local::BlockingThread;
use crate::config::{ByteSize, KindOptions, OptionError, SizeOrShare};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Reason};

use pools::Pool;

static AVAILABLE_BYTES: Measurement =
    Measurement { name: "memory_available_bytes", help: "Memory that may still be taken." };
static AVAILABLE_RATIO: Measurement = Measurement {
    name: "memory_available_ratio",
    help: "Share of the memory, or of its limit, that may still be taken.",
};

/// Available memory: that of the system, or the headroom below the limit of a cgroup if that is
/// less.
///
/// For the system it is the kernel's estimate of what programs can use without swapping:
/// `MemAvailable` in `/proc/meminfo`. For a cgroup, that of this process or one around it, it is
/// the limit minus the memory in use; page cache and reclaimable kernel caches do not count as
/// used. The files are `memory.max`, `memory.current`, and `inactive_file`, `active_file` and
/// `slab_reclaimable` in `memory.stat`; in version 1 `memory.limit_in_bytes`,
/// `memory.usage_in_bytes`, and `total_inactive_file` and `total_active_file`. The smallest of
/// these values counts, and a share refers to that limit or to the system's memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemoryOptions {
    /// Warn when less than this is available: a share such as `"20%"` or a size such as `"1GiB"`.
    /// More than `min_available`. Default: no warning.
    warn_available: Option<SizeOrShare>,
    /// Fail when less than this is available: a share or a size; `"0%"` never fails. Default
    /// `"5%"`.
    #[serde(default = "twentieth")]
    min_available: SizeOrShare,
}

fn twentieth() -> SizeOrShare {
    SizeOrShare::Share(5.0)
}

impl KindOptions for MemoryOptions {
    const NAME: &'static str = "memory";
    const SUMMARY: &'static str = "available memory or cgroup headroom";
    const MEASUREMENTS: &'static [&'static Measurement] = &[&AVAILABLE_BYTES, &AVAILABLE_RATIO];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        self.make(Path::new("/")).map(|check| Arc::new(check) as Arc<dyn Check>)
    }
}

impl MemoryOptions {
    /// Builds the check of a system whose `/proc` and `/sys` are under `root`.
    fn make(self, root: &Path) -> Result<Memory, Vec<OptionError>> {
        let Self { warn_available, min_available } = self;
        if let Some(warn) = warn_available
            && min_available.is_less_than(warn) == Some(false)
        {
            let text = format!(
                "it fails first; write more than `min_available`, which is {min_available}"
            );
            return Err(vec![OptionError::new("warn_available", text)]);
        }
        Ok(Memory {
            root: root.into(),
            thread: BlockingThread::default(),
            warn_available,
            min_available,
        })
    }
}

struct Memory {
    root: PathBuf,
    thread: BlockingThread,
    warn_available: Option<SizeOrShare>,
    min_available: SizeOrShare,
}

#[async_trait]
impl Check for Memory {
    fn kind(&self) -> &'static str {
        MemoryOptions::NAME
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let root = self.root.clone();
        let tightest = self.thread.call(&"the kernel", move || pools::tightest(&root)).await?;
        let pool = tightest.map_err(|text| Failure::new(Reason::Other, text))?;
        cx.measure(&AVAILABLE_BYTES, pool.available as f64);
        cx.measure(&AVAILABLE_RATIO, pool.ratio());
        if let Some(what) = shortage(&pool, self.min_available) {
            let text = format!("{what}, less than min_available = {}", self.min_available);
            return Err(Failure::new(Reason::OutOfRange, text));
        }
        let caveat = self.warn_available.and_then(|warn| {
            Some(format!("{}, less than warn_available = {warn}", shortage(&pool, warn)?))
        });
        Ok(caveat.map_or_else(Detail::ok, Detail::warning))
    }
}

/// What there is less of than `limit`, if it is less.
fn shortage(pool: &Pool, limit: SizeOrShare) -> Option<String> {
    let (short, available) = (pool.available, ByteSize(pool.available));
    let of = format!("of the {}", pool.name());
    match limit {
        SizeOrShare::Size(limit) => {
            (short < limit.0).then(|| format!("{available} {of} is available"))
        }
        SizeOrShare::Share(percent) => (pool.ratio() < percent / 100.0).then(|| {
            // Rounded down, so that a value below a limit is never shown as the limit itself.
            let percent = (pool.ratio() * 1_000.0).floor() / 10.0;
            format!("{percent:.1}% {of} is available ({available})")
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::time::Instant;

    use super::*;

    /// A system with 1 MiB of which this much is available.
    fn system(available_kib: u64) -> TempDir {
        let root = TempDir::new().expect("a directory");
        fs::create_dir(root.path().join("proc")).expect("a directory");
        let meminfo = format!("MemTotal: 1024 kB\nMemAvailable: {available_kib} kB\n");
        fs::write(root.path().join("proc/meminfo"), meminfo).expect("to write");
        root
    }

    async fn ask(root: &TempDir, options: &str) -> (Result<Detail, Failure>, Vec<f64>) {
        let options: MemoryOptions = toml::from_str(options).expect("options");
        let check = options.make(root.path()).expect("a check");
        let cx = Context::new(Instant::now() + Duration::from_secs(20), None);
        let result = check.run(&cx).await;
        (result, cx.take_observed().measurements.into_iter().map(|(_, value)| value).collect())
    }

    #[tokio::test]
    async fn memory_that_runs_out_is_a_warning_and_then_a_failure() {
        let (result, figures) = ask(&system(512), "").await;
        assert_eq!((result, figures), (Ok(Detail::ok()), vec![524_288.0, 0.5]));
        let (result, _) = ask(&system(255), "warn_available = '25%'").await;
        let caveat =
            "24.9% of the system's memory is available (255.0 KiB), less than warn_available = 25%";
        assert_eq!(result, Ok(Detail::warning(caveat)));
        let (result, figures) = ask(&system(51), "warn_available = '25%'").await;
        let failure = result.expect_err("it is short");
        assert_eq!(failure.reason(), Reason::OutOfRange);
        let text =
            "4.9% of the system's memory is available (51.0 KiB), less than min_available = 5%";
        assert_eq!(failure.message(), text);
        assert_eq!(figures, [52_224.0, 51.0 / 1024.0], "a failed run tells its figures too");
    }

    #[tokio::test]
    async fn a_limit_may_be_a_size() {
        let (result, _) = ask(&system(64), "min_available = '64KiB'").await;
        assert_eq!(result, Ok(Detail::ok()));
        let (result, _) = ask(&system(63), "min_available = '64KiB'").await;
        let text =
            "63.0 KiB of the system's memory is available, less than min_available = 64.0 KiB";
        assert_eq!(result.expect_err("it is short").message(), text);
        let (result, _) = ask(&system(0), "min_available = '0%'").await;
        assert_eq!(result, Ok(Detail::ok()), "which never fails");
    }

    #[tokio::test]
    async fn a_system_that_does_not_tell_is_a_failure_that_says_so() {
        let root = TempDir::new().expect("a directory");
        let failure = ask(&root, "").await.0.expect_err("it does not tell");
        assert_eq!(failure.reason(), Reason::Other);
        assert!(failure.message().contains("/proc/meminfo cannot be read: "), "{failure:?}");
    }

    #[test]
    fn a_warning_that_could_never_come_is_an_error() {
        let options: MemoryOptions = toml::from_str("warn_available = '5%'").expect("options");
        let errors = options.make(Path::new("/")).map(drop).expect_err("it fails first");
        let text = "it fails first; write more than `min_available`, which is 5%";
        assert_eq!(errors, [OptionError::new("warn_available", text)]);
    }
}
