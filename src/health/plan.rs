//! How a host changes its checks and maintenance windows while it runs.

use super::Health;
use crate::engine;
#[cfg(feature = "maintenance")]
use crate::engine::Window;
use crate::engine::check::Declared;
use crate::engine::{Changes, PlanError, Scheduled};

impl Health {
    /// Makes `checks` the plan, as a difference to the current one: a check that is the same keeps
    /// its task, state, streak and series, one that is gone leaves nothing behind.
    ///
    /// A new check gates nothing until its first good run or `failure_threshold` failed ones in a row;
    /// a changed one keeps its status until its own first run.
    ///
    /// # The same check
    /// A declaration is the same check as the one that runs when the name, the options, the kind and the
    /// address are equal, and
    ///
    /// - both have a [`revision`](Declared::revision) and these are equal, or
    /// - one of them has none, and both hold the very same object: clones of one [`Declared`] do, and
    ///   what was declared twice does not, not even from the same closure.
    ///
    /// So a host that builds its list anew each time gives each check a revision, a digest of what it was
    /// made from, or changes one check at a time, by [`add_check`](Self::add_check),
    /// [`replace_check`](Self::replace_check) and [`remove_check`](Self::remove_check).
    ///
    /// # Errors
    /// [`PlanError`] when they cannot be run; nothing changes then.
    pub fn set_checks(&self, checks: Vec<(String, Declared)>) -> Result<Changes, PlanError> {
        let plan = self.plan(checks)?;
        Ok(self.inner.scheduler.apply(plan))
    }

    /// Adds a check to the plan, and leaves the others alone: as for a tenant that comes while the
    /// service runs.
    ///
    /// It may be called from many tasks at once; of two that add the same name one is refused. It takes
    /// time in proportion to the number of checks, so that many are better added together, by
    /// [`set_checks`](Self::set_checks). The check gates nothing until its first good run or
    /// `failure_threshold` failed ones in a row.
    ///
    /// ```
    /// use vitalsign::{Health, PlanError, every, secs};
    ///
    /// # async fn ping() -> std::io::Result<()> { Ok(()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let health = Health::builder("orders").build()?;
    /// health.add_check("tenant-7", every(secs(30)).gates([]).from_fn(ping))?;
    /// let twice = health.add_check("tenant-7", every(secs(30)).gates([]).from_fn(ping));
    /// assert_eq!(twice, Err(PlanError::Duplicate("tenant-7".to_owned())));
    /// health.remove_check("tenant-7")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] when the check cannot be run together with the others; nothing changes then.
    pub fn add_check(
        &self,
        name: impl Into<String>,
        check: impl Into<Declared>,
    ) -> Result<Changes, PlanError> {
        let new = self.scheduled(name.into(), check.into())?;
        self.inner.scheduler.update(|current| engine::add(current, new))
    }

    /// Replaces the check `name` of the plan by `check`; the other checks do not change. It keeps
    /// its status until its first run. If it is [the same](Self::set_checks) check, it continues.
    ///
    /// # Errors
    /// [`PlanError::Unknown`] when the plan has no check of this name, and others as for
    /// [`add_check`](Self::add_check); nothing changes then.
    pub fn replace_check(
        &self,
        name: impl Into<String>,
        check: impl Into<Declared>,
    ) -> Result<Changes, PlanError> {
        let new = self.scheduled(name.into(), check.into())?;
        self.inner.scheduler.update(|current| engine::replace(current, new))
    }

    /// Removes the check `name` from the plan; the other checks do not change. A run in flight is
    /// cancelled, and the check's series and status disappear at once. If there is no check of this
    /// name, nothing changes; that is not an error.
    ///
    /// # Errors
    /// [`PlanError::Needed`] when another check depends on it; nothing changes then.
    pub fn remove_check(&self, name: &str) -> Result<Changes, PlanError> {
        self.inner.scheduler.update(|current| engine::remove(current, name))
    }

    fn scheduled(&self, name: String, check: Declared) -> Result<Scheduled, PlanError> {
        let scheduled = engine::schedule(name, check, &self.inner.defaults)?;
        let labels = self.inner.state.labels();
        engine::refuse_labels([&scheduled], |label| labels.contains(label))?;
        #[cfg(feature = "history")]
        if let Some(history) = &self.inner.history {
            super::keep_heartbeats(history, std::slice::from_ref(&scheduled));
        }
        Ok(scheduled)
    }

    fn plan(&self, checks: Vec<(String, Declared)>) -> Result<Vec<Scheduled>, PlanError> {
        let plan = engine::plan(checks, &self.inner.defaults)?;
        let labels = self.inner.state.labels();
        engine::refuse_labels(&plan, |label| labels.contains(label))?;
        #[cfg(feature = "history")]
        if let Some(history) = &self.inner.history {
            super::keep_heartbeats(history, &plan);
        }
        Ok(plan)
    }

    /// Makes `windows` the maintenance windows: a new window that is open begins at once, a removed
    /// one ends at once, and an unchanged one continues.
    ///
    /// A window without names applies to every check, a window with names to these checks, as soon
    /// as a plan has them.
    #[cfg(feature = "maintenance")]
    pub fn set_maintenance(&self, windows: Vec<Window>) {
        self.inner.maintenance.set(windows);
    }

    /// Does what [`set_checks`](Self::set_checks) and [`set_maintenance`](Self::set_maintenance)
    /// do as one: a new check is in its new window from its first moment, and no check leaves its
    /// window before it leaves the plan.
    ///
    /// # Errors
    /// [`PlanError`] when the checks cannot be run; nothing changes then.
    #[cfg(feature = "maintenance")]
    pub fn set_checks_and_maintenance(
        &self,
        checks: Vec<(String, Declared)>,
        windows: Vec<Window>,
    ) -> Result<Changes, PlanError> {
        let plan = self.plan(checks)?;
        Ok(self.inner.maintenance.set_around(windows, || self.inner.scheduler.apply(plan)))
    }
}
