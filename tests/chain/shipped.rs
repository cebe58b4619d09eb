//! The shipped files as this test uses them: the same text with addresses of its own, and faster.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use regex::{Captures, Regex};

/// How many times faster time goes by: an alert that waits for a minute waits 1.5 s.
pub(super) const FASTER: u32 = 40;

pub(super) const PROMETHEUS: &str = "dashboards/prometheus/prometheus.yml";
pub(super) const RECORDING: &str = "dashboards/prometheus/recording.yml";
pub(super) const ALERTS: &str = "dashboards/prometheus/alerts.yml";
pub(super) const ALERTMANAGER: &str = "dashboards/alertmanager/alertmanager.yml";

/// What a duration stands behind: a key that waits or repeats, or the bracket of a range.
const BEFORE: &str =
    r"(?m)(?<before>^ *(?:- )?(?:for|keep_firing_for|\w*(?:interval|timeout|wait)): *|\[)";
const DURATION: &str = r"(?<duration>(?:\d+(?:ms|[smhdwy]))+)(?<after>\]| *$)";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The text with every duration that it waits for, repeats after or looks back over divided, and
/// how many there were.
fn sped_up(text: &str) -> (String, usize) {
    let mut count = 0;
    let durations = Regex::new(&format!("{BEFORE}{DURATION}")).expect("a pattern");
    let text = durations.replace_all(text, |found: &Captures<'_>| {
        count += 1;
        let duration = humantime::parse_duration(&found["duration"]).expect("a duration");
        let millis = (duration / FASTER).max(Duration::from_millis(1)).as_millis();
        format!("{}{millis}ms{}", &found["before"], &found["after"])
    });
    (text.into_owned(), count)
}

/// A shipped file, faster.
pub(super) fn fast(file: &str) -> String {
    let (text, count) = sped_up(&read(file));
    assert!(count > 0, "{file} has no duration any more");
    text
}

/// Replaces what must be there exactly once.
fn replace_one(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}` in:\n{text}");
    text.replace(from, to)
}

/// The shipped `prometheus.yml` for a service and an Alertmanager of these addresses.
pub(super) fn prometheus(service: SocketAddr, alertmanager: SocketAddr) -> String {
    let text = replace_one(&fast(PROMETHEUS), "vitalsign:8080", &service.to_string());
    replace_one(&text, "alertmanager:9093", &alertmanager.to_string())
}

/// The shipped `alertmanager.yml`, each of whose receivers is filled in with this webhook.
pub(super) fn alertmanager(webhook: SocketAddr) -> String {
    let text = fast(ALERTMANAGER);
    let (head, receivers) = text.split_once("\nreceivers:\n").expect("receivers");
    let hook = format!(
        "$0\n    webhook_configs:\n      - url: http://{webhook}/\n        send_resolved: true"
    );
    let names = Regex::new(r"(?m)^  - name: \w+$").expect("a pattern");
    assert_eq!(names.find_iter(receivers).count(), 3, "{receivers}");
    format!("{head}\nreceivers:\n{}", names.replace_all(receivers, hook))
}

#[test]
fn every_duration_of_the_shipped_files_is_shortened() {
    let any = Regex::new(r"\[\d|(?m)^ *(?:- )?\w+: *\d+(?:ms|[smhdwy])$").expect("a pattern");
    for file in [PROMETHEUS, RECORDING, ALERTS, ALERTMANAGER] {
        let text = read(file);
        let (fast, count) = sped_up(&text);
        assert!(count >= 2, "{file}: {count}");
        assert_eq!(any.find_iter(&text).count(), count, "{file}: all that are there");
        let changed = text.lines().zip(fast.lines()).filter(|(before, after)| before != after);
        let (changed, lines) = (changed.count(), text.lines().count());
        assert!(changed <= count && changed > 0 && lines == fast.lines().count(), "{file}");
    }
    assert_eq!(sped_up("    for: 1m\n").0, "    for: 1500ms\n");
    assert_eq!(sped_up("increase(a_total[1h30m]) > 5").0, "increase(a_total[135000ms]) > 5");
    assert_eq!(sped_up("  - record: a:increase5m\n    expr: 1209600").1, 0);
}
