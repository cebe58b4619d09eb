//! The page is for everybody: whatever they read it with, and however wide it is.

use super::page;
use crate::support::browser::Browser;
use crate::support::daemon::free_port;
use crate::support::service::Service;

/// One check that is up, one that is down and one that does not matter.
async fn started() -> Service {
    let closed = free_port();
    let config = format!(
        r#"
        [service]
        name = "orders"
        environment = "production"
        [defaults]
        interval = "1s"
        [checks.disk]
        kind = "disk"
        path = "/"
        description = "what is written to"
        [checks.cache_of_a_rather_long_name_that_hardly_fits_on_a_small_screen]
        kind = "tcp"
        address = "127.0.0.1:{closed}"
        [checks.extra]
        kind = "disk"
        path = "/"
        gates = []
        "#
    );
    let service = Service::start(&config).await;
    // By then the history has written it down.
    service.get_until("/", |answer| answer.body.contains("id=\"incident-")).await;
    // And the day of a check that works has a figure.
    service.get_until("/", |answer| answer.body.contains(": 100%")).await;
    service
}

const LONG: &str = "cache_of_a_rather_long_name_that_hardly_fits_on_a_small_screen";

fn pages() -> [String; 4] {
    [
        "/".to_owned(),
        "/checks/disk".to_owned(),
        format!("/checks/{LONG}"),
        "/checks/none".to_owned(),
    ]
}

#[tokio::test]
async fn no_page_has_a_serious_barrier_in_light_or_dark() {
    let Some(browser) = Browser::start().await else { return };
    let service = started().await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        for path in pages() {
            browser.open(&page(&service, &path)).await;
            let Some(barriers) = browser.barriers().await else { return };
            assert_eq!(barriers, "", "{path} in {scheme}");
        }
    }
}

#[tokio::test]
async fn without_scripts_all_of_it_can_be_read() {
    let Some(browser) = Browser::start().await else { return };
    let service = started().await;
    browser.forbid_scripts().await;
    browser.open(&page(&service, "/")).await;
    let text = browser.text().await;
    let headline = format!("1 of 3 checks is down: {LONG}");
    for wanted in [&headline, "disk", "Up for", "Down for", "connection_refused", "As of"] {
        assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
    }
    let filter = "getComputedStyle(document.querySelector('.filter')).display";
    assert_eq!(browser.value(filter).await, "none", "a box that does nothing");
    browser.open(&page(&service, &format!("/checks/{LONG}"))).await;
    let text = browser.text().await;
    for wanted in ["Down for", "connection_refused", "About this check"] {
        assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
    }
}

#[tokio::test]
async fn a_narrow_screen_needs_no_scrolling_sideways() {
    let Some(browser) = Browser::start().await else { return };
    let service = started().await;
    for width in [320, 375, 640, 1000, 1100, 1600] {
        browser.resize(width, 800).await;
        for path in pages() {
            browser.open(&page(&service, &path)).await;
            let wide =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            let too_wide = browser.value(wide).await.as_i64().expect("a number");
            assert!(too_wide <= 0, "{path} at {width} is {too_wide} too wide");
        }
    }
}

#[tokio::test]
async fn nothing_is_loaded_from_elsewhere_and_nothing_is_refused() {
    let Some(browser) = Browser::start().await else { return };
    let service = started().await;
    for path in pages() {
        browser.open(&page(&service, &path)).await;
        let hosts = "[...new Set(performance.getEntriesByType('resource')\
                       .map(({ name }) => new URL(name).host))].join()";
        assert_eq!(browser.value(hosts).await, service.address.to_string(), "{path}");
        let log = browser.log().await;
        let complaints: Vec<_> = log.iter().filter(|line| !line.contains("404")).collect();
        assert!(complaints.is_empty(), "{path}: {complaints:?}");
    }
}

#[tokio::test]
async fn each_day_can_be_read_by_pointer_and_by_keys() {
    let Some(browser) = Browser::start().await else { return };
    let service = started().await;
    browser.open(&page(&service, "/")).await;
    browser
        .until("document.querySelector('#check-disk .bars').getAttribute('role') === 'slider'")
        .await;
    browser.run("document.querySelector('#check-disk .bars').focus()").await;
    let told = "document.querySelector('#check-disk .bars').getAttribute('aria-valuetext')";
    let today = browser.value(told).await;
    assert!(today.as_str().expect("a text").ends_with(": 100%, up"), "{today}");
    browser.press("ArrowLeft").await;
    let yesterday = browser.value(told).await;
    assert!(yesterday.as_str().expect("a text").ends_with(": nothing recorded"), "{yesterday}");
    assert_eq!(browser.value("document.getElementById('tip').innerText").await, yesterday);
    browser.press("Escape").await;
    assert_eq!(browser.value("document.getElementById('tip').hidden").await, true);

    let right = "(() => { const box = document.querySelector('#check-disk .bars')\
                   .getBoundingClientRect(); return [box.right - 1, box.top + 9] })()";
    let right = browser.value(right).await;
    browser.point(right[0].as_f64().expect("x"), right[1].as_f64().expect("y")).await;
    browser.until("!document.getElementById('tip').hidden").await;
    assert_eq!(browser.value("document.getElementById('tip').innerText").await, today);
}
