//! Groups of checks, wherever they are shown.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;
use vitalsign::testing::{Scripted, Step, eventually, scripted};
use vitalsign::{Gate, Health, Reason, ServiceStatus, Status, every, metrics, secs};

use super::{get, samples};

/// A bank that gates readiness and mail that does not, both of the group `payments`, beside a
/// search of none.
async fn scene() -> (Health, Scripted, Scripted) {
    let (bank, mail) = (scripted([Step::Ok]), scripted([Step::Ok]));
    let of_payments = || every(secs(5)).failure_threshold(1).groups(["payments"]);
    let health = Health::builder("orders")
        .check("bank", of_payments().check(bank.clone()))
        .check("mail", of_payments().gates([]).check(mail.clone()))
        .check("search", every(secs(5)).gates([Gate::Ready]).check(scripted([Step::Ok])))
        .build()
        .unwrap();
    for name in ["bank", "mail", "search"] {
        eventually(&health, name, Status::Up).await;
    }
    (health, bank, mail)
}

async fn ask(health: &Health, method: &str, path: &str, accept: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
    let request = request.body(Body::empty()).unwrap();
    let answer = health.clone().into_app().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_group_is_asked_in_every_form_of_readiness() {
    let (health, bank, mail) = scene().await;
    let plain = async || get(health.router(), "/ready/group/payments").await;
    let up = r#"{"status":"up","bank":"up","mail":"up"}"#;
    assert_eq!(plain().await, (StatusCode::OK, up.to_owned()));
    mail.now(Step::Fail(Reason::Protocol));
    eventually(&health, "mail", Status::Down).await;
    let degraded = r#"{"status":"degraded","bank":"up","mail":"down"}"#;
    assert_eq!(plain().await, (StatusCode::OK, degraded.to_owned()), "it gates nothing");
    assert_eq!(health.group("payments"), Some(ServiceStatus::Degraded));
    bank.now(Step::Fail(Reason::ConnectionRefused));
    eventually(&health, "bank", Status::Down).await;
    let down = r#"{"status":"down","bank":"down","mail":"down"}"#;
    assert_eq!(plain().await, (StatusCode::SERVICE_UNAVAILABLE, down.to_owned()));
    assert_eq!(health.group("payments"), Some(ServiceStatus::Down));

    let path = "/ready/group/payments?verbose";
    let text =
        "[-]bank failed: reason withheld\n[-]mail failed: reason withheld\nready check failed\n";
    let (code, verbose) = ask(&health, "GET", path, "*/*").await;
    assert_eq!((code.as_u16(), verbose.as_str()), (503, text));
    let (code, body) = ask(&health, "GET", "/ready/group/payments?exclude=bank", "*/*").await;
    assert_eq!((code.as_u16(), body.as_str()), (200, r#"{"status":"degraded","mail":"down"}"#));
    let json = "application/health+json";
    let (code, body) = ask(&health, "GET", "/ready/group/payments", json).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code.as_u16(), &body["status"]), (503, &json!("fail")));
    assert_eq!(body["checks"].as_object().unwrap().len(), 2);
    for method in ["HEAD", "OPTIONS"] {
        let (code, body) = ask(&health, method, "/ready/group/payments", "*/*").await;
        assert_eq!((code.as_u16(), body.as_str()), (503, ""), "{method}");
    }
    for nothing in ["/ready/group/nothing", "/ready/group/bank", "/ready/group/%ff"] {
        assert_eq!(ask(&health, "GET", nothing, "*/*").await.0, StatusCode::NOT_FOUND, "{nothing}");
    }
    assert_eq!(ask(&health, "POST", "/ready/group/payments", "*/*").await.0.as_u16(), 405);

    health.drain();
    let draining = r#"{"status":"draining","bank":"down","mail":"down"}"#;
    assert_eq!(plain().await, (StatusCode::SERVICE_UNAVAILABLE, draining.to_owned()));
    assert_eq!(health.group("payments"), Some(ServiceStatus::Draining));
    assert_eq!(health.group("nothing"), None);
}

#[tokio::test(start_paused = true)]
async fn groups_are_in_the_status_the_metrics_and_on_the_page() {
    let (health, bank, _mail) = scene().await;
    bank.now(Step::Fail(Reason::ConnectionRefused));
    eventually(&health, "bank", Status::Down).await;
    let (_, status) = get(health.router(), "/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let groups = json!({ "payments": { "status": "down", "checks": ["bank", "mail"] } });
    assert_eq!(status["groups"], groups);
    assert_eq!(status["checks"]["bank"]["groups"], json!(["payments"]));
    assert_eq!(status["checks"]["search"].get("groups"), None, "it belongs to none");
    let snapshot = health.snapshot();
    assert_eq!(
        (&*snapshot.groups[0].name, snapshot.groups[0].status),
        ("payments", ServiceStatus::Down)
    );

    let (_, page) = get(health.router(), "/metrics").await;
    assert!(page.contains("# TYPE health_group_status gauge\n"), "{page}");
    for one in ServiceStatus::ALL {
        let value = u8::from(*one == ServiceStatus::Down);
        let series =
            format!("\nhealth_group_status{{group=\"payments\",status=\"{one}\"}} {value}\n");
        assert!(page.contains(&series), "{series} is not in {page}");
    }
    #[cfg(feature = "page")]
    {
        let (_, page) = ask(&health, "GET", "/", "text/html").await;
        let section = page.split("id=\"groups\"").nth(1).expect("a section of groups");
        let section = section.split("</section>").next().unwrap();
        for part in ["id=\"group-payments\"", "#i-down", "checks/bank\"", "checks/mail\""] {
            assert!(section.contains(part), "{part} is not in {section}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_recorder_has_the_series_of_groups_until_they_are_gone() {
    let (recorder, handle) = metrics::exporter();
    let bank = scripted([Step::Ok]);
    let declared = every(secs(5)).failure_threshold(1).groups(["payments"]).check(bank.clone());
    let health = Health::builder("orders")
        .metrics(metrics::Exposition::Recorder(Arc::new(recorder)))
        .check("bank", declared)
        .build()
        .unwrap();
    let value = |status: &str| {
        let series =
            format!("health_group_status{{\"group\": \"payments\", \"status\": \"{status}\"}}");
        let page = handle.render();
        samples(&page).remove(&series).unwrap_or_else(|| panic!("{series} is not in {page}"))
    };
    assert_eq!((value("starting"), value("up")), (1.0, 0.0));
    eventually(&health, "bank", Status::Up).await;
    assert_eq!((value("starting"), value("up")), (0.0, 1.0));
    bank.now(Step::Fail(Reason::Protocol));
    eventually(&health, "bank", Status::Down).await;
    assert_eq!((value("down"), value("up")), (1.0, 0.0));
    health.remove_check("bank").unwrap();
    assert!(value("down").is_nan() && value("up").is_nan(), "there is no such group");
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn a_group_names_a_grpc_service() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let (health, bank, _mail) = scene().await;
    let mut client = HealthClient::new(health.grpc_service());
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        client.check(request).await.map(|answer| answer.into_inner().status())
    };
    assert_eq!(check("payments").await.unwrap(), ServingStatus::Serving);
    bank.now(Step::Fail(Reason::Protocol));
    eventually(&health, "bank", Status::Down).await;
    assert_eq!(check("payments").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(check("refunds").await.unwrap_err().code(), tonic::Code::NotFound);
}
