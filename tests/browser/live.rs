//! The page keeps up with what happens, without being loaded again.

use super::page;
use crate::support::browser::Browser;
use crate::support::daemon::free_port;
use crate::support::postgres::Postgres;
use crate::support::service::{Service, command};

/// Holds as long as the page has not been loaded again.
const MARK: &str = "window.marked = true";

async fn watching(postgres: &Postgres) -> Service {
    let config = format!(
        r#"
        [defaults]
        interval = "500ms"
        timeout = "400ms"
        [checks.orders-db]
        kind = "postgres"
        url = "{}"
        [checks.other]
        kind = "disk"
        path = "/"
        "#,
        postgres.url()
    );
    let service = Service::start(&config).await;
    service.ready_is(200, r#"{"status":"up","orders-db":"up","other":"up"}"#).await;
    service
}

#[tokio::test]
async fn goes_from_up_to_down_and_back_while_a_real_dependency_stops_and_starts() {
    let Some(mut postgres) = Postgres::start().await else { return };
    let Some(browser) = Browser::start().await else { return };
    let service = watching(&postgres).await;
    browser.open(&page(&service, "/")).await;
    browser.run(MARK).await;
    browser.until("document.querySelector('h1').innerText === 'All 2 checks are up'").await;
    browser.until("document.getElementById('live').innerText === 'Live'").await;
    browser.run("document.querySelector('#check-other a').focus()").await;

    postgres.kill();
    browser
        .until("document.querySelector('h1').innerText === '1 of 2 checks is down: orders-db'")
        .await;
    let shown = "document.querySelector('#check-orders-db').innerText";
    assert!(browser.value(shown).await.as_str().expect("a text").contains("connection_refused"));
    assert_eq!(browser.value("document.title").await, "1 down · vitalsign");
    assert_eq!(browser.value("document.querySelector('.check').dataset.name").await, "orders-db");
    assert_eq!(
        browser.value("document.getElementById('said').innerText").await,
        "orders-db is down"
    );
    let icon = "document.querySelector('link[rel=icon]').href.includes('/assets/down-')";
    assert_eq!(browser.value(icon).await, true);

    postgres.restart().await;
    browser.until("document.querySelector('h1').innerText === 'All 2 checks are up'").await;
    assert_eq!(browser.value("document.getElementById('said').innerText").await, "orders-db is up");
    assert_eq!(browser.value("document.title").await, "Up · vitalsign");

    assert_eq!(browser.value("window.marked").await, true, "it was loaded again");
    let focused = "document.activeElement.closest('.check')?.dataset.name";
    assert_eq!(browser.value(focused).await, "other", "the focus was lost");
    assert_eq!(browser.log().await, [""; 0], "the page complains");
}

#[tokio::test]
async fn the_page_of_a_check_keeps_up_too() {
    let Some(mut postgres) = Postgres::start().await else { return };
    let Some(browser) = Browser::start().await else { return };
    let service = watching(&postgres).await;
    browser.open(&page(&service, "/checks/orders-db")).await;
    browser.run(MARK).await;
    let status = "document.getElementById('hero').dataset.status";
    browser.until(&format!("{status} === 'up'")).await;
    postgres.kill();
    browser.until(&format!("{status} === 'down'")).await;
    assert!(browser.text().await.contains("connection_refused"));
    postgres.restart().await;
    browser.until(&format!("{status} === 'up'")).await;
    assert_eq!(browser.value("window.marked").await, true, "it was loaded again");
    assert_eq!(browser.log().await, [""; 0], "the page complains");
}

fn one_check(listen: &str) -> String {
    format!("[server]\n{listen}\n[checks.root]\nkind = \"disk\"\npath = \"/\"\ninterval = \"1s\"\n")
}

#[tokio::test]
async fn it_says_since_when_it_is_not_live_and_recovers() {
    let Some(browser) = Browser::start().await else { return };
    let address = format!("127.0.0.1:{}", free_port());
    let listen = |start: &mut std::process::Command| {
        let dir = start.get_current_dir().expect("its directory").to_owned();
        *start = command(&dir, &["--listen", &address]);
    };
    let config = one_check("drain_delay = \"100ms\"");
    let service = Service::start_with(&config, listen).await;
    browser.open(&page(&service, "/")).await;
    browser.run(MARK).await;
    browser.until("document.getElementById('live').innerText === 'Live'").await;
    service.stop().await;
    browser.until("!document.getElementById('lost').hidden").await;
    let said = browser.value("document.getElementById('lost').innerText").await;
    assert!(said.as_str().expect("a text").starts_with("Not live since "), "{said}");

    let _service = Service::start_with(&config, listen).await;
    browser.until("document.getElementById('lost').hidden").await;
    browser.until("document.getElementById('live').innerText === 'Live'").await;
    assert_eq!(browser.value("window.marked").await, true, "it was loaded again");
}

/// Has the page ask for itself, and waits until it has shown what came.
async fn news(browser: &Browser) {
    let asked = "performance.getEntriesByType('resource')\
                   .filter(({ initiatorType }) => initiatorType === 'fetch').length";
    let before = browser.value(asked).await.as_u64().expect("a number");
    // Once the second page has come, the first has been shown.
    for more in 1..=2 {
        browser.run("document.dispatchEvent(new Event('visibilitychange'))").await;
        browser.until(&format!("{asked} >= {}", before + more)).await;
    }
}

#[tokio::test]
async fn a_page_that_is_missing_stays_as_it_is() {
    let Some(browser) = Browser::start().await else { return };
    let service = Service::start(&one_check("")).await;
    browser.open(&page(&service, "/checks/none")).await;
    browser.run(MARK).await;
    news(&browser).await;
    assert_eq!(browser.value("window.marked").await, true, "it was loaded again");
    assert!(browser.text().await.contains("There is no check of this name"));
}

/// A script that types into the filter.
fn typed(text: &str) -> String {
    format!(
        "const filter = document.getElementById('filter');\
         filter.value = '{text}';\
         filter.dispatchEvent(new Event('input', {{ bubbles: true }}))"
    )
}

#[tokio::test]
async fn the_filter_leaves_what_matches_and_stays_when_news_come() {
    let Some(browser) = Browser::start().await else { return };
    let check = |name| format!("[checks.{name}]\nkind = \"disk\"\npath = \"/\"\n");
    let service = Service::start(&["alpha", "beta", "gamma"].map(check).concat()).await;
    browser.open(&page(&service, "/")).await;
    browser.run(&typed("Beta")).await;
    let shown = "[...document.querySelectorAll('.check:not([hidden])')]\
                   .map(({ dataset }) => dataset.name).join()";
    assert_eq!(browser.value(shown).await, "beta");
    assert_eq!(browser.value("document.getElementById('matches').innerText").await, "1 of 3");
    news(&browser).await;
    assert_eq!(browser.value(shown).await, "beta");
    browser.run(&typed("nothing")).await;
    assert_eq!(browser.value("document.getElementById('none').hidden").await, false);
}
