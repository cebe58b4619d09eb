//! The head of the overview: the service's status in a sentence, and notes.

use std::time::SystemTime;

use super::text::{Moment, capital_service, counted, listed};
use crate::engine::state::{CheckView, Snapshot};
use crate::model::{ServiceStatus, Status};

/// The head of the overview.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) status: ServiceStatus,
    pub(super) state: &'static str,
    pub(super) headline: String,
    /// What the headline leaves out.
    pub(super) aside: Vec<String>,
    pub(super) since: Moment,
    /// For the tab: `2 down · orders`.
    pub(super) title: String,
}

/// Whether the check has not run yet, so that it is not listed as a problem.
pub(super) fn waits(check: &CheckView) -> bool {
    check.status == Status::Unknown && check.last_run.is_none()
}

impl Summary {
    pub(super) fn new(snapshot: &Snapshot, now: SystemTime) -> Self {
        let checks = &snapshot.checks;
        let mut sentences = sentences(snapshot).into_iter();
        let headline = sentences.next().unwrap_or_else(|| all_up(checks.len()));
        Self {
            status: snapshot.status,
            state: capital_service(snapshot.status),
            headline,
            aside: sentences.collect(),
            since: Moment::new(snapshot.since, now),
            title: title(snapshot),
        }
    }
}

fn all_up(checks: usize) -> String {
    match checks {
        0 => "No checks yet".to_owned(),
        1 => "The check is up".to_owned(),
        _ => format!("All {checks} checks are up"),
    }
}

fn sentences(snapshot: &Snapshot) -> Vec<String> {
    let checks = &snapshot.checks;
    let mut sentences = Vec::new();
    match snapshot.status {
        ServiceStatus::Draining => sentences.push("Draining: it is about to stop".to_owned()),
        ServiceStatus::Starting => {
            let ran = checks.iter().filter(|check| check.last_run.is_some()).count();
            let of = counted(checks.len(), "check");
            sentences.push(format!("Starting: {ran} of {of} {} run", has_or_have(ran)));
        }
        ServiceStatus::Down if !snapshot.live && !checks.iter().any(is_down) => {
            sentences.push("Checks have stopped running".to_owned());
        }
        _ => {}
    }
    for status in [Status::Down, Status::Unknown, Status::Degraded] {
        let named: Vec<&str> = checks
            .iter()
            .filter(|check| check.status == status && !waits(check))
            .map(|check| &*check.info.name)
            .collect();
        if !named.is_empty() {
            let is = if named.len() == 1 { "is" } else { "are" };
            let of = counted(checks.len(), "check");
            let listed = listed(&named);
            sentences.push(format!("{} of {of} {is} {status}: {listed}", named.len()));
        }
    }
    let maintained = checks.iter().filter(|check| check.maintenance).count();
    if maintained > 0 {
        // Never the headline: it says nothing about the present.
        if sentences.is_empty() {
            sentences.push(all_up(checks.len()));
        }
        sentences.push(format!("{} in maintenance", counted(maintained, "check")));
    }
    sentences
}

fn is_down(check: &CheckView) -> bool {
    check.status == Status::Down
}

const fn has_or_have(count: usize) -> &'static str {
    if count == 1 { "has" } else { "have" }
}

fn title(snapshot: &Snapshot) -> String {
    let down = snapshot.checks.iter().filter(|check| is_down(check)).count();
    let state = match snapshot.status {
        ServiceStatus::Down | ServiceStatus::Degraded if down > 0 => format!("{down} down"),
        status => capital_service(status).to_owned(),
    };
    format!("{state} · {}", snapshot.service.name)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{check, snapshot};
    use super::*;

    fn summary(statuses: &[(&str, Status)], status: ServiceStatus) -> Summary {
        let checks = statuses.iter().map(|(name, status)| check(name, *status)).collect();
        Summary::new(&snapshot(status, checks), SystemTime::now())
    }

    #[test]
    fn it_says_how_many_are_not_up_and_which() {
        use ServiceStatus as S;
        use Status::{Degraded, Down, Unknown, Up};
        type Case = (&'static [(&'static str, Status)], S, &'static str, &'static str);
        let cases: [Case; 8] = [
            (&[], S::Up, "No checks yet", "Up · orders"),
            (&[("a", Up)], S::Up, "The check is up", "Up · orders"),
            (&[("a", Up), ("b", Up)], S::Up, "All 2 checks are up", "Up · orders"),
            (&[("a", Down), ("b", Up)], S::Down, "1 of 2 checks is down: a", "1 down · orders"),
            (
                &[("a", Down), ("b", Down)],
                S::Down,
                "2 of 2 checks are down: a, b",
                "2 down · orders",
            ),
            (&[("a", Degraded)], S::Degraded, "1 of 1 check is degraded: a", "Degraded · orders"),
            (&[("a", Unknown), ("b", Up)], S::Down, "1 of 2 checks is unknown: a", "Down · orders"),
            (&[("a", Up)], S::Draining, "Draining: it is about to stop", "Draining · orders"),
        ];
        for (checks, status, headline, title) in cases {
            let summary = summary(checks, status);
            assert_eq!((summary.headline.as_str(), summary.title.as_str()), (headline, title));
        }
    }

    #[test]
    fn the_worst_comes_first_and_the_rest_aside() {
        let statuses = [("a", Status::Degraded), ("b", Status::Down), ("c", Status::Up)];
        let summary = summary(&statuses, ServiceStatus::Down);
        assert_eq!(summary.headline, "1 of 3 checks is down: b");
        assert_eq!(summary.aside, ["1 of 3 checks is degraded: a"]);
    }

    #[test]
    fn a_check_that_has_not_run_is_no_news() {
        let mut waiting = check("a", Status::Unknown);
        waiting.last_run = None;
        let checks = vec![waiting, check("b", Status::Up)];
        let summary = Summary::new(&snapshot(ServiceStatus::Starting, checks), SystemTime::now());
        assert_eq!(summary.headline, "Starting: 1 of 2 checks has run");
        assert!(summary.aside.is_empty(), "{:?}", summary.aside);
    }

    #[test]
    fn maintenance_is_told_aside() {
        let mut maintained = check("a", Status::Up);
        maintained.maintenance = true;
        let summary =
            Summary::new(&snapshot(ServiceStatus::Up, vec![maintained]), SystemTime::now());
        assert_eq!(summary.headline, "The check is up");
        assert_eq!(summary.aside, ["1 check in maintenance"]);
    }

    #[test]
    fn checks_that_have_stopped_are_told() {
        let mut stuck = snapshot(ServiceStatus::Down, vec![check("a", Status::Up)]);
        stuck.live = false;
        let summary = Summary::new(&stuck, SystemTime::now());
        assert_eq!(summary.headline, "Checks have stopped running");
    }
}
