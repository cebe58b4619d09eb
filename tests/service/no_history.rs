//! The routes of the past without a history, and what they have in common with the others.

use crate::support::service::Service;

const NO_HISTORY: &str = r#"
    [history]
    url = "off"
    [server]
    token = "right"
    drain_delay = "1ms"
    [checks.database]
    kind = "sqlite"
    path = "own.db"
    create = true
    objective = 99.9
"#;

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

#[tokio::test]
async fn without_a_history_the_routes_say_so_and_availability_is_null() {
    let service = Service::start(NO_HISTORY).await;
    service.ready_is(200, r#"{"status":"up","database":"up"}"#).await;
    for path in ["/status/database/history", "/status/incidents", "/status/incidents?limit=x"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert!(answer.body.contains(r#""detail":"no history is kept""#), "{}", answer.body);
    }
    for path in ["/status/nobody/history", "/status/incidents/history", "/status/%ff/history"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("history is kept"), "{path}: {}", answer.body);
    }
    let database = &service.status().await["checks"]["database"];
    let availability = database["availability"].as_object().expect("an object");
    assert_eq!(availability.keys().collect::<Vec<_>>(), ["1h", "24h", "30d", "7d"]);
    assert!(availability.values().all(serde_json::Value::is_null), "{availability:?}");
    assert!(database["error_budget_remaining"].is_null(), "{database}");
}

#[tokio::test]
async fn the_routes_of_the_past_have_the_manners_of_the_others() {
    let service = Service::start(NO_HISTORY).await;
    for path in ["/status/database/history", "/status/incidents", "/openapi.json"] {
        let get = service.get(path).await;
        assert_eq!(get.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"), "{path}");
        let head = service.ask("HEAD", path, &[]).await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let refused = service.ask(method, path, &[]).await;
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.header("allow"), Some("GET,HEAD"), "{method} {path}");
            let kind = refused.header("content-type");
            assert_eq!(kind, Some("application/problem+json"), "{method} {path}");
        }
    }
    let wrong = [FORWARDED, ("authorization", "Bearer wrong")];
    for path in ["/status/database/history", "/status/incidents"] {
        let refused = service.get_with(path, &wrong).await;
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{path}");
    }
    assert_eq!(service.get_with("/openapi.json", &wrong).await.status, 200, "it is for everybody");
    let metrics = service.get("/metrics").await.body;
    for route in ["/status/{check}/history", "/status/incidents", "/openapi.json"] {
        assert!(metrics.contains(&format!(r#"http_route="{route}""#)), "{route}");
    }
}
