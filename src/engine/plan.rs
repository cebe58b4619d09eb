//! Builds a plan from declarations: fills in defaults and refuses invalid checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::check::{
    Declared, Options, cycles, has_kind_form, has_name_form, is_check_name, is_label_name,
};
use crate::engine::scheduler::Scheduled;
use crate::model::{CheckInfo, Gates};

/// Default options of checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// Time from one run to the next. Default 10 s.
    pub interval: Duration,
    /// Longest one run may take. Default 2 s or half the interval, whichever is less.
    pub timeout: Option<Duration>,
    /// Failed runs in a row that make a check down. Default 3.
    pub failure_threshold: u32,
    /// Good runs in a row that bring it back. Default 1.
    pub success_threshold: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: None,
            failure_threshold: 3,
            success_threshold: 1,
        }
    }
}

impl Defaults {
    /// The default timeout of a check that runs every `interval`.
    #[must_use]
    pub fn timeout_for(interval: Duration) -> Duration {
        Duration::from_secs(2).min(interval / 2)
    }
}

/// Why a set of checks cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A name that no check has.
    #[error(
        "check name {0:?} is not allowed; it must match [a-z0-9][a-z0-9_-]{{0,62}} and be neither \
         `status` nor `incidents`"
    )]
    Name(String),
    /// Two checks of one name.
    #[error("check `{0}` is declared twice; every check needs a name of its own")]
    Duplicate(String),
    /// An option outside its range.
    #[error("check `{check}`: {problem}")]
    Option {
        /// The check.
        check: String,
        /// What is wrong; what would be right.
        problem: String,
    },
    /// A check to be replaced that the plan does not have.
    #[error("there is no check `{0}` to be replaced; add it instead")]
    Unknown(String),
    /// A check to be removed on which another depends.
    #[error(
        "check `{check}` cannot be removed, as `{dependent}` depends on it; remove that one first"
    )]
    Needed {
        /// The check.
        check: String,
        /// The one that depends on it.
        dependent: String,
    },
    /// A dependency on a check that does not exist.
    #[error("check `{check}` depends on `{missing}`, which is no check")]
    UnknownDependency {
        /// The check.
        check: String,
        /// The name that no check has.
        missing: String,
    },
    /// A name that no group has.
    #[error(
        "check `{check}`: group name {group:?} is not allowed; it must match [a-z0-9][a-z0-9_-]{{0,62}}"
    )]
    GroupName {
        /// The check.
        check: String,
        /// The name.
        group: String,
    },
    /// A group and a check of one name.
    #[error("`{0}` is a check and a group; give one of them another name")]
    GroupOfCheckName(String),
    /// Checks that depend on each other in a circle.
    #[error("checks depend on each other in a cycle: {0}")]
    Cycle(String),
}

/// Fills in `defaults` and refuses what cannot be run.
pub(crate) fn plan(
    checks: Vec<(String, Declared)>,
    defaults: &Defaults,
) -> Result<Vec<Scheduled>, PlanError> {
    let plan = checks.into_iter().map(|(name, declared)| schedule(name, declared, defaults));
    consistent(plan.collect::<Result<_, _>>()?)
}

/// `current` and `new`, which has a name of its own.
pub(crate) fn add(
    mut current: Vec<Scheduled>,
    new: Scheduled,
) -> Result<Vec<Scheduled>, PlanError> {
    current.push(new);
    consistent(current)
}

/// `current` with `new` in place of the check of its name.
pub(crate) fn replace(
    mut current: Vec<Scheduled>,
    new: Scheduled,
) -> Result<Vec<Scheduled>, PlanError> {
    let Some(old) = current.iter_mut().find(|scheduled| scheduled.info.name == new.info.name)
    else {
        return Err(PlanError::Unknown(new.info.name.to_string()));
    };
    *old = new;
    consistent(current)
}

/// `current` without the check `name`, on which no other may depend.
pub(crate) fn remove(mut current: Vec<Scheduled>, name: &str) -> Result<Vec<Scheduled>, PlanError> {
    current.retain(|scheduled| *scheduled.info.name != *name);
    let needs = |scheduled: &&Scheduled| scheduled.info.depends_on.iter().any(|on| **on == *name);
    if let Some(dependent) = current.iter().find(needs) {
        let dependent = dependent.info.name.to_string();
        return Err(PlanError::Needed { check: name.to_owned(), dependent });
    }
    Ok(current)
}

/// The plan, unless its checks cannot run side by side.
fn consistent(plan: Vec<Scheduled>) -> Result<Vec<Scheduled>, PlanError> {
    let mut graph = BTreeMap::new();
    for Scheduled { info, .. } in &plan {
        if graph.insert(&*info.name, &*info.depends_on).is_some() {
            return Err(PlanError::Duplicate(info.name.to_string()));
        }
    }
    for Scheduled { info, .. } in &plan {
        if let Some(group) = info.groups.iter().find(|group| graph.contains_key(&***group)) {
            return Err(PlanError::GroupOfCheckName(group.to_string()));
        }
        if let Some(missing) = info.depends_on.iter().find(|d| !graph.contains_key(&***d)) {
            let (check, missing) = (info.name.to_string(), missing.to_string());
            return Err(PlanError::UnknownDependency { check, missing });
        }
    }
    if let Some(cycle) = cycle(&graph) {
        return Err(PlanError::Cycle(cycle.join(" -> ")));
    }
    Ok(plan)
}

/// Refuses labels of checks that every series has already; `taken` tests for them.
pub(crate) fn refuse_labels<'a>(
    plan: impl IntoIterator<Item = &'a Scheduled>,
    taken: impl Fn(&str) -> bool,
) -> Result<(), PlanError> {
    for scheduled in plan {
        if let Some(label) = scheduled.info.labels.keys().find(|label| taken(label)) {
            let check = scheduled.info.name.to_string();
            let problem = format!("its label `{label}` is a `metric_label` too; rename one");
            return Err(PlanError::Option { check, problem });
        }
    }
    Ok(())
}

/// A cycle among the dependencies, its first name repeated at its end.
fn cycle<'a>(graph: &BTreeMap<&'a str, &[Arc<str>]>) -> Option<Vec<&'a str>> {
    let names: Vec<&str> = graph.keys().copied().collect();
    let position = |name: &Arc<str>| names.binary_search(&&**name).ok();
    let edges: Vec<Vec<usize>> =
        graph.values().map(|on| on.iter().filter_map(position).collect()).collect();
    let first = cycles(&edges).into_iter().next()?;
    Some(first.iter().chain(first.first()).map(|i| names[*i]).collect())
}

/// Fills in `defaults` of one check, and refuses what cannot be run by itself.
pub(crate) fn schedule(
    name: String,
    declared: Declared,
    defaults: &Defaults,
) -> Result<Scheduled, PlanError> {
    if !is_check_name(&name) {
        return Err(PlanError::Name(name));
    }
    let Declared { check, options, revision } = declared;
    if let Some(group) = options.groups.iter().find(|group| !has_name_form(group)) {
        return Err(PlanError::GroupName { check: name, group: group.clone() });
    }
    let info = inform(&name, &options, defaults)
        .map_err(|problem| PlanError::Option { check: name, problem: problem.to_owned() })?;
    let kind = options.kind.unwrap_or_else(|| check.kind());
    let info = Arc::new(CheckInfo { kind, server: check.server(), ..info });
    Ok(Scheduled { info, check, revision, spare: options.spare_when_observed })
}

fn inform(name: &str, options: &Options, defaults: &Defaults) -> Result<CheckInfo, &'static str> {
    let interval = options.interval.unwrap_or(defaults.interval);
    let timeout =
        options.timeout.or(defaults.timeout).unwrap_or_else(|| Defaults::timeout_for(interval));
    let failure_threshold = options.failure_threshold.unwrap_or(defaults.failure_threshold);
    let success_threshold = options.success_threshold.unwrap_or(defaults.success_threshold);
    if interval.is_zero() || interval > MAX_INTERVAL {
        return Err("the interval must be above zero and at most 366 days");
    }
    if timeout.is_zero() || timeout >= interval {
        return Err("the timeout must be above zero and shorter than the interval");
    }
    if failure_threshold == 0 || success_threshold == 0 {
        return Err("thresholds must be at least 1");
    }
    if options.kind.is_some_and(|kind| !has_kind_form(kind)) {
        return Err("the kind must match [a-z][a-z0-9_]{0,62}");
    }
    if options.objective.is_some_and(|o| !(50.0..100.0).contains(&o)) {
        return Err("the objective is a percentage from 50 to below 100, such as 99.9");
    }
    if !options.labels.keys().all(|label| is_label_name(label)) {
        return Err("labels must be Prometheus label names, [a-zA-Z_][a-zA-Z0-9_]*, and none of \
                    check, kind, gates, server_address and server_port");
    }
    Ok(CheckInfo {
        name: name.into(),
        kind: "",
        description: options.description.clone(),
        gates: options.gates.unwrap_or(Gates::READY),
        depends_on: options.depends_on.iter().map(|d| d.as_str().into()).collect(),
        groups: options
            .groups
            .iter()
            .map(|g| g.as_str().into())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        labels: options.labels.clone(),
        interval,
        timeout,
        failure_threshold,
        success_threshold,
        degraded_after: options.degraded_after,
        objective: options.objective,
        propagate: options.propagate.unwrap_or(true),
        server: None,
    })
}

/// Limits every sum of a check's times to much less than clocks can represent.
const MAX_INTERVAL: Duration = Duration::from_hours(366 * 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::check::{every, from_fn};

    fn ok() -> Declared {
        from_fn(|| async { Ok::<_, std::io::Error>(()) })
    }

    fn error(checks: Vec<(&str, Declared)>) -> String {
        let checks = checks.into_iter().map(|(n, d)| (n.to_owned(), d)).collect();
        match plan(checks, &Defaults::default()) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn after(dependency: &str) -> Declared {
        every(Duration::from_secs(1))
            .depends_on(dependency)
            .from_fn(|| async { Ok::<_, std::io::Error>(()) })
    }

    #[test]
    fn a_cycle_is_printed() {
        let cycle = error(vec![("a", after("b")), ("b", after("c")), ("c", after("b"))]);
        assert_eq!(cycle, "checks depend on each other in a cycle: b -> c -> b");
        assert_eq!(
            error(vec![("a", after("a"))]),
            "checks depend on each other in a cycle: a -> a"
        );
        assert_eq!(error(vec![("a", after("c")), ("b", after("c")), ("c", ok())]), "accepted");
    }

    #[test]
    fn what_cannot_run_is_refused() {
        assert_eq!(
            error(vec![("a", after("nope"))]),
            "check `a` depends on `nope`, which is no check"
        );
        assert!(error(vec![("a", ok()), ("a", ok())]).contains("declared twice"));
        let second = Duration::from_secs(1);
        let run = || async { Ok::<_, std::io::Error>(()) };
        for bad in [
            every(Duration::ZERO),
            every(second).timeout(second),
            every(second).failure_threshold(0),
            every(second).success_threshold(0),
            every(second).objective(100.0),
            every(second).objective(0.999),
            every(second).objective(f64::NAN),
            every(second).kind("Own"),
            every(second).kind(""),
            every(second).label("kind", "x"),
            every(second).label("__x", "x"),
            every(Duration::MAX),
        ] {
            assert_ne!(error(vec![("a", bad.from_fn(run))]), "accepted");
        }
    }

    fn grouped(groups: &[&str]) -> Declared {
        let run = || async { Ok::<_, std::io::Error>(()) };
        every(Duration::from_secs(1)).groups(groups.iter().copied()).from_fn(run)
    }

    #[test]
    fn a_group_has_a_name_like_a_check_and_of_no_check() {
        for bad in ["", "Payments", "a b", "-a"] {
            let refused = error(vec![("a", grouped(&[bad]))]);
            assert!(refused.starts_with(&format!("check `a`: group name {bad:?}")), "{refused}");
        }
        let both = "`b` is a check and a group; give one of them another name";
        assert_eq!(error(vec![("a", grouped(&["b"])), ("b", ok())]), both);
        let itself = "`a` is a check and a group; give one of them another name";
        assert_eq!(error(vec![("a", grouped(&["a"]))]), itself);
        assert_eq!(error(vec![("a", grouped(&["x", "y"])), ("b", grouped(&["x"]))]), "accepted");
    }

    #[test]
    fn the_groups_of_a_check_are_sorted_and_each_is_there_once() {
        let checks = vec![("a".to_owned(), grouped(&["y", "x", "y"]))];
        let planned = plan(checks, &Defaults::default()).map(|plan| plan[0].info.groups.clone());
        assert_eq!(planned, Ok(vec!["x".into(), "y".into()]));
    }

    #[test]
    fn the_default_timeout_is_half_a_short_interval() {
        let half = Defaults::timeout_for(Duration::from_secs(1));
        assert_eq!(half, Duration::from_millis(500));
        assert_eq!(Defaults::timeout_for(Duration::from_mins(1)), Duration::from_secs(2));
    }
}
