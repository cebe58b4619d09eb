//! How much memory is available: in the system, and under the limit of each cgroup around this
//! process.
//!
//! The formats are those of proc_meminfo(5), proc_pid_cgroup(5) and the kernel's cgroup-v2.rst
//! and cgroup-v1/memory.rst.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A limited amount of memory, of which a part is available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pool {
    /// The cgroup that limits it; `None` is the whole system.
    cgroup: Option<String>,
    pub(super) available: u64,
    total: u64,
}

impl Pool {
    pub(super) fn ratio(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.available as f64 / self.total as f64 }
    }

    /// `system's memory` or `limit of the cgroup /orders`.
    pub(super) fn name(&self) -> impl fmt::Display {
        match &self.cgroup {
            None => "system's memory".to_owned(),
            Some(path) => format!("limit of the cgroup {path}"),
        }
    }
}

/// The files of a version of cgroups.
struct Version {
    /// Where it is mounted, under the root.
    mount: &'static str,
    max: &'static str,
    current: &'static str,
    /// Keys of `memory.stat` for memory that the kernel reclaims when the cgroup needs memory: file
    /// pages, and caches of the kernel itself.
    reclaimable: &'static [&'static str],
}

const V2: Version = Version {
    mount: "sys/fs/cgroup",
    max: "memory.max",
    current: "memory.current",
    // Not `file`: it includes shared memory and tmpfs, which only swapping frees.
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
};

const V1: Version = Version {
    mount: "sys/fs/cgroup/memory",
    max: "memory.limit_in_bytes",
    current: "memory.usage_in_bytes",
    // Version 1 counts reclaimable slab in its usage, but does not say how much it is.
    reclaimable: &["total_inactive_file", "total_active_file"],
};

/// The pool with the least available, of a system whose `/proc` and `/sys` are under `root`.
///
/// # Errors
/// Which file or value is missing.
pub(super) fn tightest(root: &Path) -> Result<Pool, String> {
    let system = system(root)?;
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = cgroups.lines().filter_map(memory_of).flat_map(|(version, path)| {
        levels(path).filter_map(move |level| limit(root, version, level))
    });
    // A limit above the system's memory limits nothing; version 1 writes a huge number for that.
    let limits = limits.filter(|pool| pool.total < system.total);
    let tightest = limits.min_by_key(|pool| pool.available);
    Ok(match tightest {
        Some(pool) if pool.available <= system.available => pool,
        _ => system,
    })
}

fn system(root: &Path) -> Result<Pool, String> {
    let file = root.join("proc/meminfo");
    let text = fs::read_to_string(&file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.and_then(|kib| kib.checked_mul(1024))
            .ok_or_else(|| format!("{} has no {key}", file.display()))
    };
    let (available, total) = (bytes("MemAvailable")?, bytes("MemTotal")?);
    Ok(Pool { cgroup: None, available: available.min(total), total })
}

/// The version and path of the memory controller in a line of `/proc/self/cgroup`.
fn memory_of(line: &str) -> Option<(&'static Version, &str)> {
    let mut parts = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if hierarchy == "0" && controllers.is_empty() {
        return Some((&V2, path));
    }
    controllers.split(',').any(|name| name == "memory").then_some((&V1, path))
}

/// `path` and each of its parents, down to `/`.
fn levels(path: &str) -> impl Iterator<Item = &Path> {
    // Seen from inside a cgroup namespace, a place outside of it is above its root.
    let above = path.split('/').any(|part| part == "..");
    let path = if above { "/" } else { path };
    Path::new(path).ancestors().filter(|level| level.is_absolute())
}

/// The pool under the limit of the cgroup at `level`, if it has one that can be read: in a container
/// without a namespace of its own, the levels outside of it cannot.
fn limit(root: &Path, version: &Version, level: &Path) -> Option<Pool> {
    let name = level.display().to_string();
    let dir = root.join(version.mount).join(level.strip_prefix("/").ok()?);
    let number = |file: &str| -> Option<u64> { read(&dir, file)?.trim().parse().ok() };
    let total = number(version.max)?;
    let current = number(version.current)?;
    let stat = read(&dir, "memory.stat").unwrap_or_default();
    let reclaimable = stat.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        version.reclaimable.contains(&key).then(|| value.trim().parse::<u64>().ok())?
    });
    let reclaimable = reclaimable.fold(0, u64::saturating_add);
    let in_use = current.saturating_sub(reclaimable);
    Some(Pool { cgroup: Some(name), available: total.saturating_sub(in_use), total })
}

fn read(dir: &Path, file: &str) -> Option<String> {
    let path: PathBuf = dir.join(file);
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A root directory with these files; the system has 1 GiB of which 512 MiB are available.
    fn root(cgroup: &str, files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().expect("a directory");
        let meminfo = "MemTotal:        1048576 kB\nMemFree:  1 kB\nMemAvailable:  524288 kB\n";
        let of_system = [("proc/meminfo", meminfo), ("proc/self/cgroup", cgroup)];
        for (path, text) in of_system.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("to write");
        }
        root
    }

    fn pool(cgroup: Option<&str>, available: u64, total: u64) -> Pool {
        let cgroup = cgroup.map(str::to_owned);
        Pool { cgroup, available: available * MIB, total: total * MIB }
    }

    #[test]
    fn without_a_limit_it_is_the_systems() {
        let free = root("0::/\n", &[]);
        assert_eq!(tightest(free.path()), Ok(pool(None, 512, 1024)));
        let unlimited = root(
            "0::/orders\n",
            &[
                ("sys/fs/cgroup/orders/memory.max", "max\n"),
                ("sys/fs/cgroup/orders/memory.current", "1000000000\n"),
            ],
        );
        assert_eq!(tightest(unlimited.path()), Ok(pool(None, 512, 1024)));
    }

    #[test]
    fn what_the_kernel_can_take_back_counts_as_available() {
        let stat = format!(
            "anon {0}\nfile {1}\nshmem {0}\ninactive_anon {0}\nactive_anon {0}\ninactive_file {2}\n\
             active_file {3}\nunevictable {0}\nslab_reclaimable {4}\nslab_unreclaimable {0}\nslab {1}\n",
            100 * MIB,
            120 * MIB,
            10 * MIB,
            60 * MIB,
            5 * MIB,
        );
        let limit = (256 * MIB).to_string();
        let current = (250 * MIB).to_string();
        let v2 = root(
            "0::/\n",
            &[
                ("sys/fs/cgroup/memory.max", &limit),
                ("sys/fs/cgroup/memory.current", &current),
                ("sys/fs/cgroup/memory.stat", &stat),
            ],
        );
        assert_eq!(tightest(v2.path()), Ok(pool(Some("/"), 81, 256)), "6 + 10 + 60 + 5");
        let stat = format!(
            "cache {0}\nrss {0}\ninactive_file 1\nactive_file 1\ntotal_cache {0}\n\
             total_inactive_file {1}\ntotal_active_file {2}\ntotal_unevictable {0}\n",
            100 * MIB,
            10 * MIB,
            60 * MIB,
        );
        let v1 = root(
            "4:memory:/\n",
            &[
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", &limit),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", &current),
                ("sys/fs/cgroup/memory/memory.stat", &stat),
            ],
        );
        assert_eq!(tightest(v1.path()), Ok(pool(Some("/"), 76, 256)), "6 + 10 + 60");
    }

    #[test]
    fn file_pages_that_can_be_dropped_count_as_free() {
        let limited = root(
            "0::/\n",
            &[
                ("sys/fs/cgroup/memory.max", "268435456\n"),
                ("sys/fs/cgroup/memory.current", "209715200\n"),
                ("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 104857600\nslab 2\n"),
            ],
        );
        assert_eq!(tightest(limited.path()), Ok(pool(Some("/"), 156, 256)));
        assert_eq!(
            tightest(limited.path()).expect("a pool").name().to_string(),
            "limit of the cgroup /"
        );
    }

    #[test]
    fn the_cgroup_with_the_least_headroom_counts_wherever_it_is() {
        let nested = root(
            "0::/team/orders/worker\n",
            &[
                ("sys/fs/cgroup/team/memory.max", "268435456"),
                ("sys/fs/cgroup/team/memory.current", "267386880"),
                ("sys/fs/cgroup/team/orders/memory.max", "134217728"),
                ("sys/fs/cgroup/team/orders/memory.current", "1048576"),
                ("sys/fs/cgroup/team/orders/worker/memory.max", "max"),
                ("sys/fs/cgroup/other/memory.max", "1"),
                ("sys/fs/cgroup/other/memory.current", "1"),
            ],
        );
        assert_eq!(tightest(nested.path()), Ok(pool(Some("/team"), 1, 256)));
    }

    #[test]
    fn the_systems_shortage_counts_before_a_generous_limit() {
        let generous = root(
            "0::/orders\n",
            &[
                ("sys/fs/cgroup/orders/memory.max", "1072693248"),
                ("sys/fs/cgroup/orders/memory.current", "0"),
            ],
        );
        assert_eq!(tightest(generous.path()), Ok(pool(None, 512, 1024)));
    }

    #[test]
    fn version_1_is_read_by_its_own_files() {
        let old = root(
            "12:cpu,cpuacct:/x\n4:memory:/orders\n0::/\n",
            &[
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
                ("sys/fs/cgroup/memory/orders/memory.limit_in_bytes", "104857600\n"),
                ("sys/fs/cgroup/memory/orders/memory.usage_in_bytes", "52428800\n"),
                ("sys/fs/cgroup/memory/orders/memory.stat", "total_inactive_file 1048576\n"),
            ],
        );
        assert_eq!(tightest(old.path()), Ok(pool(Some("/orders"), 51, 100)));
    }

    #[test]
    fn more_in_use_than_the_limit_is_nothing_available() {
        let over = root(
            "0::/../../outside\n",
            &[
                ("sys/fs/cgroup/memory.max", "1048576"),
                ("sys/fs/cgroup/memory.current", "2097152"),
                ("sys/fs/cgroup/memory.stat", "inactive_file what\nno number"),
            ],
        );
        assert_eq!(tightest(over.path()), Ok(pool(Some("/"), 0, 1)));
        let zero = root(
            "0::/\n",
            &[("sys/fs/cgroup/memory.max", "0"), ("sys/fs/cgroup/memory.current", "0")],
        );
        assert!(tightest(zero.path()).expect("a pool").ratio().abs() < f64::EPSILON);
    }

    #[test]
    fn a_system_without_its_figures_says_which() {
        let root = root("", &[("proc/meminfo", "MemTotal: 12 kB\n")]);
        let error = tightest(root.path()).expect_err("it does not tell");
        assert!(error.ends_with("/proc/meminfo has no MemAvailable"), "{error}");
    }
}
