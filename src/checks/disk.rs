//! The `disk` kind: free space and inodes of the file system that holds a path.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::{StatVfs, statvfs};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::local::BlockingThread;
use crate::config::{ByteSize, ConfigPath, KindOptions, OptionError, SizeOrShare};
use crate::engine::check::{Check, Context, Detail, Failure};
use crate::model::{Measurement, Reason};

static FREE_RATIO: Measurement =
    Measurement { name: "free_ratio", help: "Share of the space that is free to use." };
static FREE_BYTES: Measurement =
    Measurement { name: "free_bytes", help: "Space that is free to use." };
static INODES_FREE_RATIO: Measurement =
    Measurement { name: "inodes_free_ratio", help: "Share of the inodes that is free." };

/// Free space and inodes of the file system that contains a path.
///
/// Free space is what a user without privileges can still use. The share is free ÷ (free + used),
/// as in `df`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskOptions {
    /// A file or directory on the file system. A relative path is relative to the file that holds
    /// it.
    path: ConfigPath,
    /// Warn when less than this is free: a share such as `"20%"`, which also applies to inodes if
    /// the file system has a fixed number of them, or a size such as `"5GiB"`. More than
    /// `min_free`. Default: no warning.
    warn_free: Option<SizeOrShare>,
    /// Fail when less than this is free: a share or a size, as in `warn_free`; `"0%"` never
    /// fails. Default `"10%"`.
    #[serde(default = "tenth")]
    min_free: SizeOrShare,
}

fn tenth() -> SizeOrShare {
    SizeOrShare::Share(10.0)
}

impl KindOptions for DiskOptions {
    const NAME: &'static str = "disk";
    const SUMMARY: &'static str = "free space and inodes of a path";
    const MEASUREMENTS: &'static [&'static Measurement] =
        &[&FREE_RATIO, &FREE_BYTES, &INODES_FREE_RATIO];

    fn build(self) -> Result<Arc<dyn Check>, Vec<OptionError>> {
        let Self { path: ConfigPath(path), warn_free, min_free } = self;
        let mut errors = Vec::new();
        if path.as_os_str().is_empty() {
            errors.push(OptionError::new("path", "the path is empty; write one such as \"/data\""));
        }
        if let Some(warn) = warn_free
            && min_free.is_less_than(warn) == Some(false)
        {
            let text = format!("it fails first; write more than `min_free`, which is {min_free}");
            errors.push(OptionError::new("warn_free", text));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Arc::new(Disk {
            path: path.into(),
            thread: BlockingThread::default(),
            warn_free,
            min_free,
        }))
    }
}

struct Disk {
    path: Arc<Path>,
    thread: BlockingThread,
    warn_free: Option<SizeOrShare>,
    min_free: SizeOrShare,
}

#[async_trait]
impl Check for Disk {
    fn kind(&self) -> &'static str {
        DiskOptions::NAME
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let asked = Arc::clone(&self.path);
        let path = self.path.display();
        let stat = self.thread.call(&path, move || statvfs(&*asked)).await?.map_err(|error| {
            let error = error.into();
            Failure::new(Reason::of_io(&error), format!("{path} cannot be looked at: {error}"))
        })?;
        let usage = Usage::from(&stat);
        cx.measure(&FREE_RATIO, usage.free_ratio);
        cx.measure(&FREE_BYTES, usage.free as f64);
        if let Some(ratio) = usage.inodes_free_ratio {
            cx.measure(&INODES_FREE_RATIO, ratio);
        }
        if let Some(what) = usage.shortage(self.min_free) {
            let text = format!("{path} has {what}, less than min_free = {}", self.min_free);
            return Err(Failure::new(Reason::OutOfRange, text));
        }
        let caveat = self.warn_free.and_then(|warn| {
            let what = usage.shortage(warn)?;
            Some(format!("{path} has {what}, less than warn_free = {warn}"))
        });
        Ok(caveat.map_or_else(Detail::ok, Detail::warning))
    }
}

/// Free space and inodes.
#[derive(Debug, PartialEq)]
struct Usage {
    free: u64,
    free_ratio: f64,
    /// `None` if the file system creates inodes as needed.
    inodes_free_ratio: Option<f64>,
}

impl From<&StatVfs> for Usage {
    fn from(stat: &StatVfs) -> Self {
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let usable = used.saturating_add(stat.f_bavail);
        Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            // A file system without blocks, such as /proc, is never full.
            free_ratio: ratio(stat.f_bavail, usable).unwrap_or(1.0),
            inodes_free_ratio: ratio(stat.f_favail, stat.f_files),
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}

impl Usage {
    /// What there is less of than `limit`, if anything.
    fn shortage(&self, limit: SizeOrShare) -> Option<String> {
        let share = match limit {
            SizeOrShare::Size(limit) => {
                return (self.free < limit.0).then(|| format!("{} free", ByteSize(self.free)));
            }
            SizeOrShare::Share(percent) => percent / 100.0,
        };
        if self.free_ratio < share {
            let (percent, free) = (percent(self.free_ratio), ByteSize(self.free));
            return Some(format!("{percent} free ({free})"));
        }
        let inodes = self.inodes_free_ratio.filter(|ratio| *ratio < share)?;
        Some(format!("{} of its inodes free", percent(inodes)))
    }
}

/// Rounded down, so that a value below a limit is never shown as the limit itself.
fn percent(ratio: f64) -> String {
    format!("{:.1}%", (ratio * 1_000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(free: u64, free_ratio: f64, inodes_free_ratio: Option<f64>) -> Usage {
        Usage { free, free_ratio, inodes_free_ratio }
    }

    fn size(bytes: u64) -> SizeOrShare {
        SizeOrShare::Size(ByteSize(bytes))
    }

    #[test]
    fn a_share_counts_for_space_and_inodes_and_a_size_for_space() {
        let tenth = SizeOrShare::Share(10.0);
        assert_eq!(usage(512, 0.1, Some(0.1)).shortage(tenth), None);
        let short = usage(512, 0.09999, None).shortage(tenth);
        assert_eq!(short.as_deref(), Some("9.9% free (512 B)"));
        let short = usage(512, 0.5, Some(0.05)).shortage(tenth);
        assert_eq!(short.as_deref(), Some("5.0% of its inodes free"));
        assert_eq!(usage(512, 0.0, Some(0.0)).shortage(SizeOrShare::Share(0.0)), None);
        assert_eq!(usage(512, 0.0, Some(0.0)).shortage(size(512)), None);
        assert_eq!(usage(511, 1.0, None).shortage(size(512)).as_deref(), Some("511 B free"));
    }
}
