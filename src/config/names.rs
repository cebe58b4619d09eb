//! Suggestions for names that are not known.

use super::elsewhere::{self, Ours};

/// The known name that was probably meant: one that differs in few letters, else one that begins
/// with `name`, else one that `name` begins with.
pub(super) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let similar = known
        .clone()
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, candidate), candidate))
        .filter(|(distance, candidate)| {
            let shorter = name.chars().count().min(candidate.chars().count());
            *distance <= (shorter / 3).max(1) && *distance < shorter
        })
        .min()
        .map(|(_, candidate)| candidate);
    let begun = |candidate: &&str| lower.len() >= 3 && candidate.starts_with(&lower);
    let longer =
        |candidate: &&str| candidate.len() >= 3 && lower.starts_with(&candidate.to_lowercase());
    similar
        .or_else(|| known.clone().into_iter().find(begun))
        .or_else(|| known.into_iter().find(longer))
}

/// ``did you mean `x`?`` where one is near, else all that are known.
pub(super) fn advice(name: &str, known: &[&str], plural: &str) -> String {
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    if known.is_empty() { format!("there are no {plural}") } else { list(plural, known) }
}

/// The option that `name` was probably meant for, and the advice to print. None where the name stands
/// for something within an option, which may hold other things as well.
pub(super) fn option<'a>(name: &str, known: &[&'a str]) -> (Option<&'a str>, String) {
    match elsewhere::option(name, known) {
        Some((meant, Ours::Same(_))) => (Some(meant), format!("did you mean `{meant}`?")),
        Some((meant, Ours::Part(_, advice))) => (Some(meant), advice.to_owned()),
        Some((_, Ours::Within(_, advice))) => (None, advice.to_owned()),
        None => (nearest(name, known.iter().copied()), advice(name, known, "options")),
    }
}

/// The advice about a section that is not known.
pub(super) fn section(name: &str, known: &[&str]) -> String {
    match elsewhere::section(name).filter(|ours| known.contains(ours)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => advice(name, known, "sections"),
    }
}

/// ``the options are `a`, `b` ``.
pub(super) fn list(plural: &str, known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("the {plural} are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keys_is_recognised() {
        let known = ["interval", "timeout", "gates", "url"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Gates", known), Some("gates"));
        assert_eq!(nearest("uri", known), Some("url"));
        assert_eq!(nearest("inter", known), Some("interval"));
        assert_eq!(nearest("url_of_it", known), Some("url"));
        assert_eq!(nearest("Saturday", ["Mon", "Sat", "Sun"]), Some("Sat"));
        assert_eq!(nearest("SUN", ["Mon", "Sat", "Sun"]), Some("Sun"));
        assert_eq!(nearest("i", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("retries", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn the_options_of_other_tools_are_recognised() {
        let tcp = ["address", "expect", "interval", "kind", "send", "timeout", "tls"];
        let http = [
            "basic_auth",
            "bearer",
            "body",
            "expect",
            "follow_redirects",
            "interval",
            "kind",
            "method",
            "timeout",
            "tls",
            "url",
        ];
        let common = [
            "degraded_after",
            "depends_on",
            "description",
            "enabled",
            "failure_threshold",
            "gates",
            "labels",
            "objective",
            "success_threshold",
        ];
        let server = ["listen", "token"];
        let address = "write both as `address = \"host:port\"`";
        for (name, known, meant, advice) in [
            ("type", &tcp[..], Some("kind"), "did you mean `kind`?"),
            ("host", &tcp, Some("address"), address),
            ("port", &tcp, Some("address"), address),
            ("host", &http, Some("url"), "it is a part of `url`"),
            (
                "password",
                &http,
                Some("basic_auth"),
                "write `basic_auth = { username = \"…\", password = \"…\" }`",
            ),
            ("port", &server, Some("listen"), "write both as `listen = \"127.0.0.1:8080\"`"),
            ("bind", &server, Some("listen"), "did you mean `listen`?"),
            ("endpoint", &http, Some("url"), "did you mean `url`?"),
            ("url", &tcp, Some("address"), "did you mean `address`?"),
            ("endpoint", &tcp, Some("address"), "did you mean `address`?"),
            ("schedule", &http, Some("interval"), "did you mean `interval`?"),
            ("scrape_interval", &http, Some("interval"), "did you mean `interval`?"),
            (
                "periodSeconds",
                &http,
                Some("interval"),
                "write `interval` with a unit, such as \"30s\" or \"5m\"",
            ),
            (
                "timeout_ms",
                &http,
                Some("timeout"),
                "write `timeout` with a unit, such as \"500ms\" or \"2s\"",
            ),
            (
                "timeoutSeconds",
                &tcp,
                Some("timeout"),
                "write `timeout` with a unit, such as \"500ms\" or \"2s\"",
            ),
            ("http_method", &http, Some("method"), "did you mean `method`?"),
            ("status_code", &http, None, "write `expect.status = [200]`"),
            ("valid_status_codes", &http, None, "write `expect.status = [200]`"),
            ("keyword", &http, None, "write `expect.body_regex = \"…\"`"),
            ("match", &tcp, None, "write `expect.regex = \"…\"`"),
            ("insecure_skip_verify", &tcp, None, "write `tls = { insecure = true }`"),
            ("ca_file", &http, None, "write `tls = { ca = \"ca.pem\" }`"),
            (
                "failureThreshold",
                &common,
                Some("failure_threshold"),
                "did you mean `failure_threshold`?",
            ),
            (
                "max_attempts",
                &common,
                Some("failure_threshold"),
                "did you mean `failure_threshold`?",
            ),
            ("rise", &common, Some("success_threshold"), "did you mean `success_threshold`?"),
            ("dependencies", &common, Some("depends_on"), "did you mean `depends_on`?"),
            ("slo", &common, Some("objective"), "did you mean `objective`?"),
            ("tags", &common, Some("labels"), "did you mean `labels`?"),
            ("disabled", &common, Some("enabled"), "write `enabled = false`, or leave it out"),
            ("cmd", &["args", "program"], Some("program"), "did you mean `program`?"),
        ] {
            assert_eq!(option(name, known), (meant, advice.to_owned()), "{name}");
        }
        let (meant, advice) = option("schedule", &["token"]);
        assert_eq!((meant, advice.as_str()), (None, "the options are `token`"));
    }

    #[test]
    fn the_sections_of_other_tools_are_recognised() {
        let known = ["checks", "defaults", "history", "server", "telemetry"];
        assert_eq!(section("endpoints", &known), "did you mean `checks`?");
        assert_eq!(section("global", &known), "did you mean `defaults`?");
        assert_eq!(section("logging", &known), "did you mean `telemetry`?");
        assert_eq!(section("sever", &known), "did you mean `server`?");
        assert!(section("cake", &known).starts_with("the sections are"));
    }

    #[test]
    fn a_day_is_recognised_by_its_whole_name() {
        let known = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        for day in ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] {
            for written in
                [day.to_owned(), day.to_lowercase(), day.to_uppercase(), day[..3].to_lowercase()]
            {
                assert_eq!(nearest(&written, known), Some(&day[..3]), "{written}");
            }
        }
    }
}
