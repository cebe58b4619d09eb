//! What makes an alert the same one: its labels, and when it started.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_labels_of_a_check_are_those_of_its_alerts() {
    let mut scene = Scene::new();
    let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let labels = [("team", "payments"), ("severity", "none"), ("alertname", "Mine"), ("tier", "1")];
    let of = |labels: &[(&str, &str)]| {
        let labels = labels.iter().copied().map(label).collect();
        Arc::new(CheckInfo { labels, ..(*informative("db")).clone() })
    };
    let db = of(&labels);
    scene.falls(&db);
    advance(GRACE).await;
    let first = scene.attempts();
    assert_eq!(
        first[0]["labels"],
        json!({
            "alertname": "HealthCheckDown", "check": "db", "kind": "tcp", "service": "orders",
            "severity": "warning", "team": "payments", "tier": "1",
        })
    );
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    // A reload that changes a label: the old alert ends, for it is another one to Alertmanager.
    scene.runs(&of(&[("team", "orders")]), Outcome::Failure, Status::Down);
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["-CheckDown db warning", "CheckDown db warning"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_starts_when_the_status_began_before_a_restart_too() {
    let mut scene = Scene::new();
    let db = informative("db");
    let before = SystemTime::UNIX_EPOCH + MINUTE;
    scene.runs(&db, Outcome::Failure, Status::Down);
    let transition = Transition {
        id: 1,
        from: Status::Unknown,
        to: Status::Down,
        at: SystemTime::now(),
        since: before,
        reason: None,
        message: None,
        trace: None,
    };
    scene.store.record(&db, Event::Transition(&transition));
    advance(GRACE).await;
    assert_eq!(scene.attempts()[0]["startsAt"], "1970-01-01T00:01:00.000Z");
}

#[tokio::test(start_paused = true)]
async fn no_alert_ends_before_it_began_though_the_clock_is_set_back() {
    let mut scene = Scene::new();
    let db = informative("db");
    scene.runs(&db, Outcome::Failure, Status::Down);
    let tomorrow = Transition {
        id: 1,
        from: Status::Up,
        to: Status::Down,
        at: SystemTime::now() + 1440 * MINUTE,
        since: SystemTime::now() + 1440 * MINUTE,
        reason: None,
        message: None,
        trace: None,
    };
    scene.store.record(&db, Event::Transition(&tomorrow));
    advance(GRACE).await;
    assert_eq!(scene.posted(), ["CheckDown db warning"]);
    scene.becomes(&db, Status::Down, Status::Up);
    let last = scene.attempts();
    assert_eq!(last[0]["endsAt"], last[0]["startsAt"], "Alertmanager would refuse it");
}
