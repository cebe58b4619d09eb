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
        let headline = sentences.next().unwrap_or_else(|| nothing_wrong(checks));
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

/// What is said when no check that has run is anything but up. One that has not run is not up either.
fn nothing_wrong(checks: &[CheckView]) -> String {
    let waiting = checks.iter().filter(|check| waits(check)).count();
    match (checks.len(), waiting) {
        (0, _) => "No checks yet".to_owned(),
        (1, 0) => "The check is up".to_owned(),
        (all, 0) => format!("All {all} checks are up"),
        (1, _) => "The check has not run yet".to_owned(),
        (all, waiting) if all == waiting => format!("None of {all} checks has run yet"),
        (all, waiting) => {
            let (up, has) = (all - waiting, has_or_have(waiting));
            format!("{up} of {all} checks {} up, {waiting} {has} not run yet", is_or_are(up))
        }
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
        let (effects, causes): (Vec<&CheckView>, Vec<&CheckView>) = checks
            .iter()
            .filter(|check| check.status == status && !waits(check))
            .partition(|check| check.suppressed_by.is_some());
        let count = causes.len() + effects.len();
        if count > 0 {
            let (of, is) = (counted(checks.len(), "check"), is_or_are(count));
            let named = causes_first(&causes, &effects);
            sentences.push(format!("{count} of {of} {is} {status}: {named}"));
        }
    }
    let maintained = checks.iter().filter(|check| check.maintenance).count();
    let waiting = checks.iter().filter(|check| waits(check)).count();
    if maintained > 0 && sentences.is_empty() {
        // Maintenance is never the headline: it says nothing about the present.
        sentences.push(nothing_wrong(checks));
    } else if waiting > 0 && !sentences.is_empty() && snapshot.status != ServiceStatus::Starting {
        let of = counted(checks.len(), "check");
        sentences.push(format!("{waiting} of {of} {} not run yet", has_or_have(waiting)));
    }
    if maintained > 0 {
        sentences.push(format!("{} in maintenance", counted(maintained, "check")));
    }
    sentences
}

/// The names of checks, those first that no other check explains:
/// `vpn; because of it: cache, orders-db`.
fn causes_first(causes: &[&CheckView], effects: &[&CheckView]) -> String {
    let names = |checks: &[&CheckView]| {
        let names: Vec<&str> = checks.iter().map(|check| &*check.info.name).collect();
        listed(&names)
    };
    if effects.is_empty() {
        return names(causes);
    }
    // What explains them has another status, or each explains itself by another check of its own.
    let mut explained: Vec<&str> =
        effects.iter().filter_map(|check| check.suppressed_by.as_deref()).collect();
    explained.sort_unstable();
    explained.dedup();
    let effects = names(effects);
    match (causes, explained.as_slice()) {
        ([], by) => format!("{effects}, because of {}", listed(by)),
        ([cause], [by]) if *cause.info.name == **by => {
            format!("{by}; because of it: {effects}")
        }
        (causes, by) => format!("{}; because of {}: {effects}", names(causes), listed(by)),
    }
}

fn is_down(check: &CheckView) -> bool {
    check.status == Status::Down
}

const fn is_or_are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
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
    fn a_check_that_has_not_run_is_not_up() {
        let waiting = |name| {
            let mut check = check(name, Status::Unknown);
            check.last_run = None;
            check
        };
        let cases = [
            (vec![waiting("a"), check("b", Status::Up)], "1 of 2 checks is up, 1 has not run yet"),
            (vec![waiting("a"), waiting("b")], "None of 2 checks has run yet"),
            (vec![waiting("a")], "The check has not run yet"),
        ];
        for (checks, headline) in cases {
            let summary =
                Summary::new(&snapshot(ServiceStatus::Degraded, checks), SystemTime::now());
            assert_eq!(summary.headline, headline);
            assert!(summary.aside.is_empty(), "{:?}", summary.aside);
        }
        let checks = vec![waiting("a"), check("b", Status::Down), check("c", Status::Up)];
        let summary = Summary::new(&snapshot(ServiceStatus::Down, checks), SystemTime::now());
        assert_eq!(summary.headline, "1 of 3 checks is down: b");
        assert_eq!(summary.aside, ["1 of 3 checks has not run yet"]);
    }

    #[test]
    fn causes_come_before_their_effects() {
        use Status::{Degraded, Down, Up};
        type Case = (&'static [(&'static str, Status, Option<&'static str>)], &'static str);
        let cases: [Case; 4] = [
            (
                &[("a", Down, Some("vpn")), ("b", Down, Some("vpn")), ("vpn", Down, None)],
                "3 of 3 checks are down: vpn; because of it: a, b",
            ),
            (
                &[("a", Down, Some("vpn")), ("disk", Down, None), ("vpn", Down, None)],
                "3 of 3 checks are down: disk, vpn; because of vpn: a",
            ),
            (
                &[("a", Down, Some("b")), ("b", Down, Some("c")), ("c", Down, None)],
                "3 of 3 checks are down: c; because of b, c: a, b",
            ),
            (&[("a", Up, Some("vpn")), ("vpn", Down, None)], "1 of 2 checks is down: vpn"),
        ];
        let summary = |checks: &[(&str, Status, Option<&str>)]| {
            let checks = checks.iter().map(|(name, status, because)| {
                let mut check = check(name, *status);
                check.suppressed_by = because.map(Into::into);
                check
            });
            Summary::new(&snapshot(ServiceStatus::Down, checks.collect()), SystemTime::now())
        };
        for (checks, headline) in cases {
            assert_eq!(summary(checks).headline, headline);
        }
        let summary = summary(&[("a", Degraded, Some("vpn")), ("vpn", Down, None)]);
        assert_eq!(summary.aside, ["1 of 2 checks is degraded: a, because of vpn"]);
    }

    #[test]
    fn maintenance_is_said_aside() {
        let mut maintained = check("a", Status::Up);
        maintained.maintenance = true;
        let summary =
            Summary::new(&snapshot(ServiceStatus::Up, vec![maintained]), SystemTime::now());
        assert_eq!(summary.headline, "The check is up");
        assert_eq!(summary.aside, ["1 check in maintenance"]);
    }

    #[test]
    fn checks_that_have_stopped_are_the_headline() {
        let mut stuck = snapshot(ServiceStatus::Down, vec![check("a", Status::Up)]);
        stuck.live = false;
        let summary = Summary::new(&stuck, SystemTime::now());
        assert_eq!(summary.headline, "Checks have stopped running");
    }
}
