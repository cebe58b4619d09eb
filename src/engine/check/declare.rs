//! Declarations of checks: the options that every check has, whatever its kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Check;
use crate::model::{Gate, Gates};

/// A check with its options; options that are `None` have the defaults.
#[derive(Clone)]
pub struct Declared {
    pub(crate) check: Arc<dyn Check>,
    pub(crate) options: Options,
    /// Digest of all that it was declared with; see [`Declared::revision`].
    pub(crate) revision: Option<[u8; 32]>,
}

impl Declared {
    /// Declares `check`, which may be shared.
    #[must_use]
    pub fn new(check: Arc<dyn Check>, options: Options) -> Self {
        Self { check, options, revision: None }
    }

    /// Removes its dependencies, to run this check alone.
    #[must_use]
    pub fn independent(mut self) -> Self {
        self.options.depends_on.clear();
        self
    }

    /// Sets a digest of everything that the check was declared with, secrets included: two
    /// declarations of one name, with equal options and one digest, are
    /// [the same check](crate::Health::set_checks), which a change of the plan leaves alone.
    #[must_use]
    pub fn revision(mut self, digest: [u8; 32]) -> Self {
        self.revision = Some(digest);
        self
    }
}

/// The options that every check has, whatever its kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub(crate) kind: Option<&'static str>,
    pub(crate) description: Option<String>,
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) failure_threshold: Option<u32>,
    pub(crate) success_threshold: Option<u32>,
    pub(crate) gates: Option<Gates>,
    pub(crate) depends_on: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) degraded_after: Option<Duration>,
    pub(crate) objective: Option<f64>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) propagate: Option<bool>,
    pub(crate) spare_when_observed: bool,
}

/// Starts a declaration of a check that runs every `interval`, more than zero: `every(secs(5))`.
#[must_use]
pub fn every(interval: Duration) -> Options {
    Options { interval: Some(interval), ..Options::default() }
}

/// So many seconds; [`Duration`] has other units.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Options {
    /// Name of its kind, the label `kind` of every series: `[a-z][a-z0-9_]{0,62}`. Default: that of
    /// the check, which is `function` for a closure.
    ///
    /// ```
    /// # async fn ask() -> std::io::Result<()> { Ok(()) }
    /// # use vitalsign::{every, secs};
    /// let ledger = every(secs(5)).kind("ledger").from_fn(ask);
    /// # let _ = ledger;
    /// ```
    #[must_use]
    pub fn kind(mut self, name: &'static str) -> Self {
        self.kind = Some(name);
        self
    }

    /// Shown to people on the status page. Default none.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Longest one run may take; past it the run is cancelled. Less than the interval; default 2 s or
    /// half the interval, whichever is less.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Failed runs in a row that make the check down. Default 3, at least 1.
    #[must_use]
    pub fn failure_threshold(mut self, runs: u32) -> Self {
        self.failure_threshold = Some(runs);
        self
    }

    /// Good runs in a row that bring it back. Default 1, at least 1.
    #[must_use]
    pub fn success_threshold(mut self, runs: u32) -> Self {
        self.success_threshold = Some(runs);
        self
    }

    /// The probes it gates, `[Gate::Ready]` by default; none makes it informative.
    #[must_use]
    pub fn gates(mut self, gates: impl IntoIterator<Item = Gate>) -> Self {
        self.gates = Some(gates.into_iter().collect());
        self
    }

    /// Adds a check that this one depends on: while that check is down, the alerts of this one are
    /// suppressed. It must be in the plan, and no check may depend on itself indirectly.
    #[must_use]
    pub fn depends_on(mut self, check: impl Into<String>) -> Self {
        self.depends_on.push(check.into());
        self
    }

    /// The groups that it belongs to, named like checks; they add to those named before. Default none.
    ///
    /// A group has a status of its own: [`Health::group`](crate::Health::group), and over HTTP
    /// `/ready/group/{group}`. It counts the checks of the group that gate `ready`; the others make it
    /// degraded at most. No check may have the name of a group.
    ///
    /// ```
    /// use vitalsign::{every, secs};
    ///
    /// # async fn ask() -> std::io::Result<()> { Ok(()) }
    /// let bank = every(secs(5)).groups(["payments", "refunds"]).from_fn(ask);
    /// # let _ = bank;
    /// ```
    #[must_use]
    pub fn groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// A success slower than this is a warning. Default: no success is too slow.
    #[must_use]
    pub fn degraded_after(mut self, limit: Duration) -> Self {
        self.degraded_after = Some(limit);
        self
    }

    /// Percent of good runs wanted over 30 days, from 50 to below 100, such as 99.9. Default none.
    #[must_use]
    pub fn objective(mut self, percent: f64) -> Self {
        self.objective = Some(percent);
        self
    }

    /// Adds a label to `health_check_info` and the status document; see
    /// [`is_label_name`](crate::is_label_name).
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Whether the trace context is sent to the dependency, if its protocol can carry it. Default
    /// true.
    #[must_use]
    pub fn propagate(mut self, wanted: bool) -> Self {
        self.propagate = Some(wanted);
        self
    }

    /// Whether a due run is omitted if the newest call that an [`Observer`](crate::Observer) of
    /// this check reported was good and is not older than an interval. Default false.
    ///
    /// An omitted run is not counted as skipped, and the calls keep the status fresh. After a
    /// failed call, and while the check is down, its own runs continue. Its phases and
    /// measurements, such as a replication lag, stay those of its last own run.
    #[must_use]
    pub fn spare_when_observed(mut self, wanted: bool) -> Self {
        self.spare_when_observed = wanted;
        self
    }

    /// Declares `check` with these options.
    pub fn check(self, check: impl Check) -> Declared {
        Declared::new(Arc::new(check), self)
    }
}

impl<C: Check> From<C> for Declared {
    fn from(check: C) -> Self {
        Options::default().check(check)
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declared")
            .field("kind", &self.check.kind())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
