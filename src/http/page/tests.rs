//! What the pages say, and how large and how quick they are.

use super::samples::{SECRET, check, hour, past, snapshot};
use super::*;
use crate::health::{Health, RefusedReload};
use crate::model::{ServiceStatus, Status};

fn render(statuses: &[(String, Status)], details: bool) -> String {
    render_linked(statuses, details, &|id| Some(format!("https://traces.test/{id}")))
}

fn render_linked(
    statuses: &[(String, Status)],
    details: bool,
    trace: &dyn Fn(&str) -> Option<String>,
) -> String {
    let checks = statuses.iter().map(|(name, status)| check(name, *status)).collect();
    let snapshot = snapshot(ServiceStatus::Down, checks);
    let names: Vec<_> = statuses.iter().map(|(name, _)| name.clone()).collect();
    let past = past(&names);
    let now = SystemTime::now();
    let cx = Cx {
        now,
        details,
        sign_in: !details,
        check: None,
        refused: None,
        base: "./",
        metrics: details,
        hour: &hour,
        trace,
    };
    Overview::new(&snapshot, &past, 1, &cx).render().expect("a page")
}

fn fleet(count: usize) -> Vec<(String, Status)> {
    let status = |at| if at == 4 { Status::Down } else { Status::Up };
    (0..count).map(|at| (format!("check-{at:04}"), status(at))).collect()
}

#[test]
fn details_are_for_those_with_the_right_to_them_and_escaped() {
    let shown = render(&fleet(7), true);
    assert!(shown.contains("refused by 10.1.2.3 &#60;b&#62;&#38;"), "{shown}");
    assert!(!shown.contains(SECRET), "it is not escaped");
    for detail in ["connection_refused", "instance-of-it", "https://traces.test/"] {
        assert!(shown.contains(detail), "{detail} is missing");
    }
    let withheld = render(&fleet(7), false);
    let hidden = ["10.1.2.3", "connection_refused", "timeout", "traces.test", "instance-of-it"];
    for detail in hidden {
        assert!(!withheld.contains(detail), "{detail} is shown");
    }
}

#[test]
fn a_trace_is_named_by_its_id_where_there_is_no_link_to_it() {
    let id = format!("{:032x}", 0xabc);
    let named = format!("<span class=\"trace\">trace <code>{id}</code></span>");
    let without = render_linked(&fleet(7), true, &|_| None);
    assert!(without.contains(&named), "{without}");
    let linked = render(&fleet(7), true);
    assert!(linked.contains(&format!("https://traces.test/{id}")) && !linked.contains(&named));
    assert!(!render_linked(&fleet(7), false, &|_| None).contains(&id), "it is a detail");
}

#[test]
fn a_refused_configuration_is_shown_with_its_errors() {
    let refused = RefusedReload {
        at: SystemTime::now() - Duration::from_mins(3),
        errors: vec!["vitalsign.toml:3:1: checks.a.<b>: unknown option".to_owned()],
    };
    let cx = Cx {
        now: SystemTime::now(),
        details: true,
        sign_in: false,
        check: None,
        refused: Some(&refused),
        base: "./",
        metrics: true,
        hour: &hour,
        trace: &|_| None,
    };
    let (snapshot, past) = (snapshot(ServiceStatus::Up, Vec::new()), past(&[]));
    let page = Overview::new(&snapshot, &past, 1, &cx).render().expect("a page");
    assert!(page.contains("The newest configuration is not in force"), "{page}");
    assert!(page.contains("<li><code>vitalsign.toml:3:1: checks.a.&#60;b&#62;"), "{page}");
    assert!(page.contains(">3 minutes</time> ago"), "{page}");
}

#[test]
fn what_is_not_up_comes_first() {
    let statuses = [("b", Status::Up), ("c", Status::Degraded), ("d", Status::Down)];
    let statuses = statuses.map(|(name, status)| (name.to_owned(), status));
    let page = render(&statuses, true);
    let place = |name: &str| page.find(&format!("data-name=\"{name}\"")).expect("a check");
    assert!(place("d") < place("c") && place("c") < place("b"));
}

#[test]
fn ten_checks_with_a_full_history_fit_in_60_kb_all_told() {
    let page = Body::new(render(&fleet(10), true));
    let assets = [assets::style(), assets::script(), assets::icon("down")];
    let (plain, gzip) = page.sizes();
    let plain = plain + assets.iter().map(|asset| asset.body.len()).sum::<usize>();
    let gzip = gzip + assets.iter().map(|asset| asset.gzip.len()).sum::<usize>();
    assert!(plain < 60_000 && gzip < 20_000, "{plain} bytes, {gzip} compressed");
}

#[test]
fn a_fleet_is_shown_in_pages() {
    let statuses = fleet(1_001);
    let page = render(&statuses, false);
    assert!(page.contains("1 to 1000 of 1001") && page.contains("href=\"?page=2\""));
    assert!(page.contains("check-0004") && !page.contains("check-1000"));
}

#[test]
fn links_lead_to_the_root_from_wherever_the_page_lies() {
    assert_eq!(base("/"), "./");
    assert_eq!(base("/vitals"), "./vitals/");
    assert_eq!(base("/host/vitals"), "./vitals/");
    assert_eq!(base("/host/vitals/"), "./");
    assert_eq!(base(""), "./");
}

#[tokio::test]
async fn an_overview_is_served_again_until_something_changes() {
    let health = Health::builder("orders").build().expect("no checks");
    let pages = Arc::new(Pages { routes: health.routes(), kept: Default::default() });
    let newest = async || pages.newest("./".to_owned(), true).await.expect("a page");
    let (first, again) = (newest().await, newest().await);
    assert!(first.is(&again), "it was made twice");
    health.drain();
    let draining = newest().await;
    assert!(!first.is(&draining), "it is old");
    let withheld = pages.newest("./".to_owned(), false).await.expect("a page");
    assert!(!withheld.is(&draining), "details are for some");
}
