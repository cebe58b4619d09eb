//! `vitalsign rules`: rules fitted to a configuration, and what refuses to be one.

use std::path::PathBuf;

use vitalsign::metrics::METRICS;

use super::committed::FOLDER;
use super::promtool::promtool;
use crate::support::daemon::free_port;
use crate::support::prometheus::Prometheus;
use crate::support::service::{Ended, Service, command, run};

const CONFIGURATION: &str = r#"
[telemetry]
traces_endpoint = "http://127.0.0.1:4317"

[checks.orders-db]
kind = "postgres"
url = "postgres://orders@127.0.0.1:1/orders"
interval = "5m"
timeout = "3s"
objective = 99.95
depends_on = ["shop"]
labels = { team = "payments", on = "call \"now\" {{ $labels.job }}", severity = "page" }

[checks.shop]
kind = "tls"
address = "127.0.0.1:1"
gates = []
"#;

/// What `vitalsign rules` prints for a configuration of this text.
fn rules(configuration: &str, arguments: &[&str]) -> Ended {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("vitalsign.toml"), configuration).expect("the configuration");
    run(command(dir.path(), &[&["rules"], arguments].concat()))
}

fn printed(configuration: &str) -> String {
    let ended = rules(configuration, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

/// The rule of the group that begins with `alert`.
fn rule<'a>(text: &'a str, group: &str, alert: &str) -> Option<&'a str> {
    let (_, group) = text.split_once(&format!("  - name: \"{group}\"\n"))?;
    let group = group.split("  - name: ").next()?;
    let (_, rule) = group.split_once(&format!("      - alert: {alert}\n"))?;
    rule.split("      - alert: ").next()
}

#[test]
fn a_check_has_its_own_interval_objective_and_labels_in_its_rules() {
    let text = printed(CONFIGURATION);
    let of = |alert| rule(&text, "vitalsign-check-orders-db", alert);
    let stale = of("HealthCheckStale").expect("a rule");
    assert!(stale.contains("> 903\n") && !stale.contains("health_check_interval_seconds"));
    let slow = of("HealthCheckSlow").expect("a rule");
    assert!(slow.contains("[100m])) > 1.5\n") && slow.contains("[15m])) <= 1.5\n"), "{slow}");
    let burn = of("HealthErrorBudgetBurnFast").expect("a rule");
    assert!(burn.contains("> 0.0072\n") && burn.contains("> 0.003\n"), "{burn}");
    assert!(of("HealthCheckSkipped").expect("a rule").contains("        for: 20m\n"));
    let down = of("HealthGatingCheckDown").expect("a rule");
    assert!(down.contains("check=\"orders-db\"") && !down.contains("health_check_info"), "{down}");
    for label in [
        "          check: \"orders-db\"\n",
        "          severity: \"critical\"\n",
        "          \"exported_severity\": \"page\"\n",
        "          \"team\": \"payments\"\n",
        "          \"on\": \"call \\\"now\\\" {{ `{{` }} $labels.job }}\"\n",
    ] {
        assert!(down.contains(label), "{label} is not in\n{down}");
    }
}

#[test]
fn links_lead_where_the_options_say() {
    let arguments = [
        "--dashboard-url",
        "https://grafana.example.org/",
        "--page-url",
        "https://vitals.example.org",
    ];
    for generic in [false, true] {
        let mut all = Vec::from(arguments);
        all.extend(generic.then_some("--generic"));
        let printed = rules(CONFIGURATION, &all);
        assert_eq!(printed.code, Some(0), "{printed:?}");
        assert!(!printed.out.contains("localhost:3000"), "{printed:?}");
        let group = if generic { "vitalsign-checks" } else { "vitalsign-check-orders-db" };
        let down = rule(&printed.out, group, "HealthGatingCheckDown").expect("a rule");
        for line in [
            "dashboard_url: \"https://grafana.example.org/d/vitalsign-dependency?var-job=",
            "page_url: \"https://vitals.example.org/checks/{{ $labels.check }}\"\n",
            "incident_url: \"https://vitals.example.org/checks/{{ $labels.check }}#incidents\"\n",
        ] {
            assert!(down.contains(line), "{line} is not in\n{down}");
        }
        let ready = rule(&printed.out, "vitalsign-service", "HealthNotReady").expect("a rule");
        assert!(ready.contains("page_url: \"https://vitals.example.org/\"\n"), "{ready}");
        assert!(!ready.contains("incident_url"), "{ready}");
        // Whoever prints them again finds how.
        let head = printed.out.lines().nth(1).expect("the command");
        assert!(head.contains("--page-url \"https://vitals.example.org\""), "{head}");
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("rules.yml");
        std::fs::write(&file, &printed.out).expect("to write");
        promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &[file]);
    }
    let plain = printed(CONFIGURATION);
    assert!(!plain.contains("page_url") && plain.contains("http://localhost:3000/d/"), "{plain}");
    for wrong in ["grafana.example.org", "ftp://x", "https://x?orgId=1", ""] {
        for option in ["--dashboard-url", "--page-url"] {
            let refused = rules(CONFIGURATION, &[option, wrong]);
            assert_eq!(refused.code, Some(2), "{option} {wrong}: {refused:?}");
        }
    }
}

#[test]
fn a_heartbeat_is_never_slow() {
    let heartbeat = "[checks.job]\nkind = \"heartbeat\"\ngrace = \"1h\"\ntoken = \"right\"\n";
    let text = printed(heartbeat);
    assert!(rule(&text, "vitalsign-check-job", "HealthCheckStale").is_some(), "{text}");
    assert!(rule(&text, "vitalsign-check-job", "HealthCheckSlow").is_none(), "{text}");
}

#[test]
fn only_what_can_fire_is_printed() {
    let text = printed(CONFIGURATION);
    let orders = |alert| rule(&text, "vitalsign-check-orders-db", alert).is_some();
    let shop = |alert| rule(&text, "vitalsign-check-shop", alert).is_some();
    let service = |text, alert| rule(text, "vitalsign-service", alert).is_some();
    assert!(orders("HealthGatingCheckDown") && !orders("HealthCheckDown"));
    assert!(!shop("HealthGatingCheckDown") && shop("HealthCheckDown"));
    assert!(orders("HealthErrorBudgetBurnSlow") && !shop("HealthErrorBudgetBurnSlow"));
    assert!(!orders("HealthCertificateExpiresSoon") && shop("HealthCertificateExpiresSoon"));
    assert!(service(&text, "HealthTracesDropped"));
    assert!(text.contains("health_check_slo_runs_total{job=\"vitalsign\", check=~\"orders-db\"}"));

    let plain = printed(
        "[checks.a]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\ninterval = \"5m\"\n\
         timeout = \"70s\"\n[checks.b]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n\
         enabled = false\n",
    );
    assert!(!service(&plain, "HealthTracesDropped"), "no traces are sent");
    assert!(!plain.contains("record:"), "there is no objective");
    assert!(!plain.contains("HealthCheckSlow"), "half the timeout lies beyond the last bucket");
    assert!(plain.contains("HealthConfigReloadFailed"));
    assert!(plain.contains("HealthFileDescriptorsNearLimit"));
    assert!(plain.contains("check=\"a\"") && !plain.contains("check=\"b\""), "b is disabled");
}

#[test]
fn history_is_watched_where_one_is_kept() {
    let kept = METRICS.iter().any(|metric| metric.name == "health_history_store_up");
    let check = "[checks.a]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
    let own = format!("{check}[history]\nurl = \"sqlite:history.db\"\n");
    let off = format!("{check}[history]\nurl = \"off\"\n");
    for alert in ["HealthHistoryStoreDown", "HealthHistoryDropping"] {
        assert_eq!(rules(&own, &[]).out.contains(alert), kept, "{alert}");
        assert!(!printed(&off).contains(alert), "{alert}");
    }
}

#[test]
fn promtool_finds_nothing_to_object_to_in_fitted_rules() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("fitted.yml");
    std::fs::write(&file, printed(CONFIGURATION)).expect("the file");
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &[file]);
}

#[test]
fn the_job_is_in_every_selector() {
    let text = rules(CONFIGURATION, &["--generic", "--job", "serviceMonitor/shop/a b/0"]).out;
    assert!(!text.contains("job=\"vitalsign\""));
    assert!(text.contains("absent(up{job=\"serviceMonitor/shop/a b/0\"})"), "{text}");
}

#[test]
fn a_name_that_is_no_job_is_a_wrong_use() {
    for name in ["", "a\"b", "a\\", "a\nb"] {
        let ended = rules(CONFIGURATION, &["--job", name]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains("not the name of a job"), "{ended:?}");
        assert_eq!(ended.out, "");
    }
}

#[test]
fn generic_rules_need_no_configuration_and_fitted_ones_a_valid_one() {
    let wrong = "[checks.a]\nkind = \"tcp\"\n";
    let fitted = rules(wrong, &[]);
    assert_eq!(fitted.code, Some(78), "{fitted:?}");
    assert!(fitted.err.contains("vitalsign.toml:1:"), "{fitted:?}");
    assert_eq!(fitted.out, "");
    assert_eq!(rules(wrong, &["--generic"]).code, Some(0));
    let missing = rules(wrong, &["--config", "nowhere.toml"]);
    assert_eq!(missing.code, Some(78), "{missing:?}");
}

#[test]
fn no_secret_is_in_the_rules() {
    let secret = CONFIGURATION.replace("postgres://orders@", "postgres://orders:hush@");
    let ended = rules(&secret, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.out.contains("hush") && !ended.err.contains("hush"));
}

/// Both sets of rules, over the service's true series.
#[tokio::test]
async fn a_dependency_that_is_gone_raises_the_alert_in_prometheus() {
    let closed = free_port();
    let configuration = format!(
        "[defaults]\ninterval = \"200ms\"\nfailure_threshold = 1\n\
         [checks.gone]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\nobjective = 99\n\
         labels = {{ team = \"payments\" }}\n\
         [checks.extra]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\ngates = []\n\
         [checks.behind]\nkind = \"tcp\"\naddress = \"127.0.0.1:{closed}\"\ndepends_on = [\"gone\"]\n"
    );
    let service = Service::start(&configuration).await;
    let dir = tempfile::tempdir().expect("a directory");
    let fitted = dir.path().join("fitted.yml");
    // The same job; the label tells the two apart.
    std::fs::write(&fitted, printed(&configuration)).expect("the file");
    let generic: Vec<PathBuf> = ["recording.yml", "alerts.yml"]
        .iter()
        .map(|file| PathBuf::from(FOLDER).join(file))
        .collect();
    for (files, team) in [(generic, ""), (vec![fitted], "payments")] {
        let files: Vec<String> =
            files.iter().map(|f| format!("{:?}", f.display().to_string())).collect();
        let config = format!(
            "global: {{ scrape_interval: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [{}]\nscrape_configs:\n- job_name: vitalsign\n  \
             static_configs: [{{ targets: [\"{}\"] }}]\n",
            files.join(", "),
            service.address
        );
        let Some(prometheus) = Prometheus::start(&config).await else { return };
        let found =
            |name: &str, check: &str| format!("ALERTS{{alertname=\"{name}\", check=\"{check}\"}}");
        let gating = found("HealthGatingCheckDown", "gone");
        let raised = prometheus.query_until(&gating, |found| !found.is_empty()).await;
        let labels = &raised[0]["metric"];
        assert_eq!(labels["severity"], "critical", "{labels}");
        assert_eq!(labels["team"].as_str().unwrap_or_default(), team, "{labels}");
        prometheus.query_until(&found("HealthCheckDown", "extra"), |found| !found.is_empty()).await;
        // A counter that grows is seen by a second sample at least.
        let burn = found("HealthErrorBudgetBurnFast", "gone");
        prometheus.query_until(&burn, |found| !found.is_empty()).await;
        assert_eq!(prometheus.query("ALERTS{check=\"behind\"}").await, [""; 0], "it is suppressed");
        let elsewhere = prometheus.query("ALERTS{alertname=~\"HealthTargetDown|HealthServiceAbsent|HealthExecutorStalled|HealthCheckStale|HealthConfigReloadFailed\"}").await;
        assert_eq!(elsewhere, [""; 0]);
    }
}
