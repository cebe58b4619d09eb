//! Checks, snapshots and a past to make pages of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::past::{HistoryResult, Past};
use crate::engine::state::{CheckView, ServiceInfo, Snapshot};
use crate::history::recent::{MINUTES, Minute};
use crate::history::{Day, Incident, IncidentPage, Share};
use crate::model::{CheckInfo, Gates, Outcome, Reason, Run, ServiceStatus, Status};

/// What only those with the right to details may read.
pub(super) const SECRET: &str = "refused by 10.1.2.3 <b>&";

pub(super) fn check(name: &str, status: Status) -> CheckView {
    let failed = status == Status::Down;
    let run = Run {
        at: SystemTime::now(),
        duration: Duration::from_micros(4_100),
        outcome: if failed { Outcome::Failure } else { Outcome::Success },
        reason: failed.then_some(Reason::ConnectionRefused),
        message: (status != Status::Up).then(|| SECRET.to_owned()),
        trace: None,
        phases: Vec::new(),
        measurements: Vec::new(),
    };
    CheckView {
        info: Arc::new(CheckInfo {
            name: name.into(),
            kind: "postgres",
            description: None,
            gates: Gates::READY,
            depends_on: Vec::new(),
            groups: Vec::new(),
            labels: BTreeMap::from([("team".to_owned(), "label-of-a-team".to_owned())]),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failure_threshold: 3,
            success_threshold: 1,
            degraded_after: None,
            objective: Some(99.9),
            propagate: true,
            server: None,
        }),
        status,
        since: SystemTime::now() - Duration::from_secs(7_300),
        last_run: Some(Arc::new(run)),
        last_success_at: None,
        consecutive_failures: u32::from(failed),
        suppressed_by: None,
        maintenance: false,
        gates_now: true,
        trace_url: Some("https://traces.test/abc".to_owned()),
    }
}

pub(super) fn snapshot(status: ServiceStatus, checks: Vec<CheckView>) -> Snapshot {
    let instance = "instance-of-it".to_owned();
    let (name, version) = ("orders".to_owned(), "1.4.2".to_owned());
    Snapshot {
        service: ServiceInfo { name, version, instance, environment: Some("production".into()) },
        started_at: SystemTime::now(),
        uptime: Duration::from_mins(1),
        status,
        since: SystemTime::now() - Duration::from_secs(7_300),
        live: true,
        ready: status.is_ok(),
        started: true,
        checks,
        groups: Vec::new(),
    }
}

/// A past with something in every day of every check.
pub(super) fn past(names: &[String]) -> Past {
    let now = SystemTime::now();
    let day = |at: usize| match at % 17 {
        3 => Day { share: Share { good: 8_400, counted: 8_640 }, worst: Some(Status::Down) },
        9 => Day { share: Share { good: 8_639, counted: 8_640 }, worst: Some(Status::Degraded) },
        _ => Day { share: Share { good: 8_640, counted: 8_640 }, worst: Some(Status::Up) },
    };
    let days = |(at, name): (usize, &String)| (name.clone(), (at..at + 90).map(day).collect());
    let incident = |at: u64| Incident {
        check: names[usize::try_from(at).expect("it is small") % names.len()].clone(),
        start: now - Duration::from_secs(86_400 * (at + 1)),
        end: (at > 0).then(|| now - Duration::from_secs(86_400 * (at + 1) - 754)),
        worst: if at.is_multiple_of(2) { Status::Down } else { Status::Degraded },
        reason: Some(Reason::Timeout),
        message: Some(SECRET.to_owned()),
        trace_id: Some(format!("{:032x}", 0xabc + at)),
    };
    let incidents = if names.is_empty() { Vec::new() } else { (0..20).map(incident).collect() };
    Past {
        days: HistoryResult::Known(Arc::new(names.iter().enumerate().map(days).collect())),
        incidents: HistoryResult::Known(IncidentPage { incidents, next: None }),
    }
}

/// An hour like a real one: uneven, with a minute of failures.
pub(super) fn hour(name: &str) -> [Minute; MINUTES] {
    let mut seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    std::array::from_fn(|minute| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let micros = 3_000 + (seed >> 33) % 2_500;
        Minute { mean: Some(Duration::from_micros(micros)), failed: minute == 40 }
    })
}
