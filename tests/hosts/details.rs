//! A host's own authentication decides who sees details.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Request as HttpRequest, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;
use vitalsign::http::ShowDetails;
use vitalsign::{Details, Health, Reason, Secret, checks};

/// Whom the host knows, by the bearer token that is its own.
const ON_CALL: &str = "Bearer token-of-the-host";
const INTERN: &str = "Bearer another-of-the-host";
/// A token of ours.
const OURS: &str = "Bearer token-of-the-configuration";

/// What the host's authentication makes of a request.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes().to_vec());
    match sent.as_deref() {
        Some(sent) if sent == ON_CALL.as_bytes() => {
            request.extensions_mut().insert(ShowDetails(true));
        }
        Some(sent) if sent == INTERN.as_bytes() => {
            request.extensions_mut().insert(ShowDetails(false));
        }
        // Not the host's to know.
        Some(_) => {}
        None => return StatusCode::FORBIDDEN.into_response(),
    }
    next.run(request).await
}

fn health() -> Health {
    let database = checks::manual();
    database.down(Reason::NotServing, "the migration of table 7 failed");
    let token = |text: &str| Secret::new(text.trim_start_matches("Bearer "));
    Health::builder("orders")
        .details(Details::Token)
        .token(token(OURS))
        .metrics_token(token(OURS))
        .check("database", database)
        .build()
        .expect("a health")
}

async fn get(app: &Router, path: &str, token: Option<&str>) -> (StatusCode, String) {
    let request = HttpRequest::get(path);
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, token),
        None => request,
    };
    let request = request.body(Body::empty()).expect("a request");
    let answer = app.clone().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.into()).expect("text"))
}

#[tokio::test]
async fn a_layer_of_the_host_says_who_sees_them_and_no_token_of_ours_is_asked_for() {
    let health = health();
    let pages = Router::new().fallback_service(health.clone().into_app());
    let routes: Router = health.router();
    for (name, app) in [("routes", routes), ("pages", pages)] {
        let app = app.layer(from_fn(authenticate));
        for path in ["/status", "/status/database", "/status/database/history", "/ready?verbose"] {
            let secret = match path {
                "/ready?verbose" => "failed: not_serving",
                _ => "the migration of table 7",
            };
            let shown = !path.ends_with("history");
            for (token, right) in [(ON_CALL, true), (INTERN, false), (OURS, true)] {
                let (status, body) = get(&app, path, Some(token)).await;
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{name} {path} {token}");
                assert_eq!(body.contains(secret), right && shown, "{name} {path} {token}: {body}");
            }
            let (status, _) = get(&app, path, None).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{name} {path}: the host's own answer");
        }
        for (token, wanted) in
            [(ON_CALL, StatusCode::OK), (OURS, StatusCode::OK), (INTERN, StatusCode::UNAUTHORIZED)]
        {
            let (status, _) = get(&app, "/metrics", Some(token)).await;
            assert_eq!(status, wanted, "{name} {token}");
        }
        let (status, _) = get(&app, "/status", Some("Bearer of nobody")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}: without a word of the host, ours");
    }
}

#[tokio::test]
async fn a_page_shows_them_to_whom_the_host_lets_in() {
    let app = Router::new().fallback_service(health().into_app()).layer(from_fn(authenticate));
    for (token, right) in [(ON_CALL, true), (INTERN, false)] {
        for path in ["/", "/checks/database"] {
            let (status, body) = get(&app, path, Some(token)).await;
            assert_eq!(status, StatusCode::OK, "{path} {token}");
            assert_eq!(body.contains("the migration of table 7"), right, "{path} {token}");
        }
        // Nobody is asked for our token: the page leads back to where the causes are, or stays.
        let (status, _) = get(&app, "/?details", Some(token)).await;
        let expected = if right { StatusCode::SEE_OTHER } else { StatusCode::OK };
        assert_eq!(status, expected, "{token}");
    }
}
