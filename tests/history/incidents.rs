//! Incidents and status changes.

use std::time::{Duration, SystemTime};

use vitalsign::history::{IncidentFilter, ReadError};
use vitalsign::{Outcome, Reason, Status};

use super::recorder::{Recorder, traced};
use super::store::{PATIENT, Store};

fn all() -> IncidentFilter {
    IncidentFilter { limit: 100, ..IncidentFilter::default() }
}

#[tokio::test]
async fn an_incident_tells_of_the_worst_that_happened() {
    for store in Store::each().await {
        let history = store.open().await;
        let recorder = Recorder::of(&history, "database");
        recorder.turn(Outcome::Success);
        let begun = recorder.turn(Outcome::Warning);
        recorder.turn_with(&traced(Outcome::Failure, Reason::AuthFailed, 0xabc));
        recorder.turn_with(&traced(Outcome::Timeout, Reason::Timeout, 0xdef));
        let page = history.incidents(&all()).await.expect("a page");
        assert_eq!(page.incidents[0].end, None, "{store:?}");
        let ended = recorder.turn(Outcome::Success);
        let page = history.incidents(&all()).await.expect("a page");
        let [incident] = page.incidents.as_slice() else { panic!("{store:?}: {page:?}") };
        assert_eq!((incident.check.as_str(), incident.worst), ("database", Status::Down));
        assert_eq!(incident.reason, Some(Reason::AuthFailed));
        assert_eq!(incident.message.as_deref(), Some("nothing listens"));
        assert_eq!(incident.trace_id.as_deref(), Some("00000000000000000000000000000abc"));
        let same = |a: std::time::SystemTime, b: std::time::SystemTime| {
            let apart = a.duration_since(b).or_else(|_| b.duration_since(a)).expect("a span");
            apart.as_millis() < 1
        };
        assert!(same(incident.start, begun.at), "{incident:?} {begun:?}");
        assert!(same(incident.end.expect("an end"), ended.at), "{incident:?} {ended:?}");
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn a_removed_check_has_no_open_incident() {
    for store in Store::each().await {
        let history = store.open().await;
        let recorder = Recorder::of(&history, "database");
        recorder.turn(Outcome::Failure);
        recorder.remove();
        let page = history.incidents(&all()).await.expect("a page");
        assert!(page.incidents[0].end.is_some(), "{store:?}");
        // Memory has forgotten it, and its rows are there.
        let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
        let steps = history.steps("database", now - hour, now + hour, hour * 2).await;
        let runs: u64 = steps.expect("steps").iter().map(|step| step.runs).sum();
        assert_eq!(runs, 1, "{store:?}");
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_newest_first() {
    for store in Store::each().await {
        let history = store.open().await;
        let (a, b) = (Recorder::of(&history, "a"), Recorder::of(&history, "b"));
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(a.turn(Outcome::Failure).at);
            a.turn(Outcome::Success);
        }
        let last = b.turn(Outcome::Failure);
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let filter = IncidentFilter { after, limit: 2, ..IncidentFilter::default() };
            let page = history.incidents(&filter).await.expect("a page");
            assert!(page.incidents.len() <= 2);
            found.extend(page.incidents);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), 5, "{store:?}: {found:?}");
        assert!(found.is_sorted_by(|x, y| x.start >= y.start), "{found:?}");

        let of_b = IncidentFilter { check: Some("b".to_owned()), ..all() };
        let page = history.incidents(&of_b).await.expect("a page");
        assert_eq!((page.incidents.len(), page.next), (1, None));
        let until = IncidentFilter { to: Some(ids[0]), ..all() };
        let first = history.incidents(&until).await.expect("a page").incidents;
        assert!(first.iter().all(|i| i.start <= ids[0]) && !first.is_empty(), "{first:?}");
        let later = last.at + std::time::Duration::from_secs(1);
        let still_open = IncidentFilter { from: Some(later), ..all() };
        let page = history.incidents(&still_open).await.expect("a page");
        assert_eq!((page.incidents.len(), page.incidents[0].check.as_str()), (1, "b"));
        for bad in ["", "x", "1", "1-", "-1-2", "1-2-3", "99999999999999999999-1"] {
            let filter = IncidentFilter { after: Some(bad.to_owned()), ..all() };
            assert_eq!(history.incidents(&filter).await, Err(ReadError::BadPosition), "{bad}");
        }
        history.close(PATIENT).await;
    }
}

#[tokio::test]
async fn changes_are_found_after_the_last_known_one_over_a_restart() {
    for store in Store::each().await {
        let history = store.open().await;
        let recorder = Recorder::of(&history, "database");
        let first = recorder.turn(Outcome::Success);
        let second = recorder.turn_with(&traced(Outcome::Failure, Reason::TlsFailed, 0x12));
        let third = recorder.turn(Outcome::Success);
        for restarted in [false, true] {
            let history = if restarted { store.open().await } else { history.clone() };
            let changes = history.changes_after(first.id, 10).await.expect("changes");
            let ids: Vec<u64> = changes.iter().map(|c| c.transition.id).collect();
            assert_eq!(ids, [second.id, third.id], "{store:?}");
            let change = &changes[0];
            assert_eq!(change.check, "database");
            assert_eq!((change.transition.from, change.transition.to), (Status::Up, Status::Down));
            assert_eq!(change.transition.reason, Some(Reason::TlsFailed));
            assert_eq!(change.transition.trace.map(|t| t.trace_id), Some(0x12));
            assert_eq!(history.changes_after(0, 1).await.expect("changes").len(), 1);
            assert_eq!(history.changes_after(third.id, 9).await.expect("changes"), []);
            history.close(PATIENT).await;
        }
    }
}
