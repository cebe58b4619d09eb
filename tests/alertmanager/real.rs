//! The library against Debian's Alertmanager, with times short enough to be watched.

use super::*;
use crate::support::alertmanager::Alertmanager as Server;

const OFTEN: Duration = Duration::from_millis(500);

fn moment(value: &Value) -> jiff::Timestamp {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test]
async fn an_alert_outlives_its_first_end_and_dies_with_its_sender() {
    let Some(server) = Server::start().await else { return };
    let sender = sender(&[server.url()]).resend_every(OFTEN).start().expect("a sender");
    let db = Dependency::default();
    db.fails();
    let _health = health(&sender, &[("db", &db)]);
    let first = server.alerts_are(&["db"]).await;
    let (starts, ends) = (moment(&first[0]["startsAt"]), moment(&first[0]["endsAt"]));
    wait_for("its first end", async || jiff::Timestamp::now() > ends).await;
    let later = server.alerts_are(&["db"]).await;
    assert_eq!(moment(&later[0]["startsAt"]), starts);
    assert!(moment(&later[0]["endsAt"]) > ends);

    drop(sender);
    server.alerts_are(&[]).await;
    let told = server.notifications();
    assert_eq!(told.first().map(String::as_str), Some("firing HealthCheckDown of db"));
    wait_for("word of its end", async || {
        server.notifications().last().is_some_and(|l| l == "resolved HealthCheckDown of db")
    })
    .await;
}

#[tokio::test]
async fn a_pair_is_told_the_same() {
    let (Some(one), Some(other)) = (Server::start().await, Server::start().await) else { return };
    let sender = sender(&[one.url(), other.url()]).start().expect("a sender");
    let db = Dependency::default();
    db.fails();
    let health = health(&sender, &[("db", &db)]);
    let keys = ["labels", "annotations", "startsAt", "generatorURL"];
    let of = |alerts: Vec<Value>| keys.map(|key| alerts[0][key].clone());
    assert_eq!(of(one.alerts_are(&["db"]).await), of(other.alerts_are(&["db"]).await));
    health.set_checks(vec![("other".to_owned(), Dependency::default().check())]).expect("a plan");
    one.alerts_are(&[]).await;
    other.alerts_are(&[]).await;
    for server in [one, other] {
        let told = ["firing HealthCheckDown of db", "resolved HealthCheckDown of db"];
        server.has_notified(&told).await;
    }
}
