//! Labels that every series of a service has.

use vitalsign::metrics::{Format, encode};
use vitalsign::{BuildError, Health};

use crate::exposition::{all_ran, fine, rich, seldom};
use crate::support::prometheus::{openmetrics_samples, promtool_check_metrics};

#[tokio::test]
async fn every_series_on_the_page_has_the_label() {
    let labelled = rich().metric_label("region", "eu \"1\"\\").metric_label("cell", "7");
    let health = labelled.build().expect("checks");
    all_ran(&health).await;
    let page = encode(health.state(), Format::Text);
    let text = std::str::from_utf8(&page).expect("UTF-8");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("cell=\"7\",region=\"eu \\\"1\\\"\\\\\""), "{line}");
    }
    assert!(text.contains("\nhealth_ready{cell="), "the service's too: {text}");
    if let Some(said) = promtool_check_metrics(&page) {
        assert_eq!(said, "");
    }
    let page = encode(health.state(), Format::OpenMetrics);
    let Some(samples) = openmetrics_samples(&page) else { return };
    assert!(samples.iter().all(|s| s["labels"]["region"] == "eu \"1\"\\"), "{samples:?}");
}

#[tokio::test]
async fn a_label_that_series_cannot_have_is_refused() {
    for (key, value) in [
        ("check", "a"),
        ("status", "a"),
        ("le", "a"),
        ("__a", "a"),
        ("a-b", "a"),
        ("", "a"),
        ("a", ""),
    ] {
        let error = Health::builder("small").metric_label(key, value).build();
        let refused = matches!(&error, Err(BuildError::MetricLabel { key: k, .. }) if k == key);
        assert!(refused, "{key}: {error:?}");
    }
}

#[tokio::test]
async fn no_series_has_a_label_twice() {
    let teamed = || fine(seldom().label("team", "a"));
    let builder = Health::builder("small").metric_label("team", "b");
    let error = builder.check("db", teamed()).build().expect_err("the label twice");
    assert!(error.to_string().contains("check `db`: its label `team`"), "{error}");
    let health = Health::builder("small").metric_label("team", "b").build().expect("no checks");
    assert!(health.set_checks(vec![("db".to_owned(), teamed())]).is_err());
    assert!(health.state().checks().is_empty(), "nothing has changed");
}
