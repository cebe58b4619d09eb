//! Appends the metrics of the `metrics` facade to the page: takes the text of a Prometheus
//! recorder and converts it to the format of the page.

use std::collections::HashSet;

use super::Format;
use super::names::{self, Metric, MetricType, Origin};
use super::page::Page;

/// A family of a rendered page.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: Option<&'a str>,
    samples: Vec<&'a str>,
}

/// Appends `rendered` to `page`, sorted by name. If the state has `written` its families, they
/// are left out: those of the table and those made of measurements.
pub(super) fn append(page: &mut Page, rendered: &str, written: Option<&[String]>) {
    let measured = written.unwrap_or_default();
    let mut families = parse(rendered);
    families.sort_by_key(|family| (family.name, family.kind));
    // A counter and a gauge may have been recorded under one name; no format allows both.
    families.dedup_by_key(|family| family.name);
    let of_state = |name: &str| {
        let is = |m: &Metric| name == m.name || name == names::family(m.name, m.kind);
        names::METRICS.iter().any(|m| m.origin == Origin::State && is(m))
            || measured.iter().any(|m| m == name)
    };
    families.retain(|family| written.is_none() || !of_state(family.name));
    let taken: HashSet<&str> = families
        .iter()
        .map(|f| f.name)
        .chain(names::METRICS.iter().map(|m| names::family(m.name, m.kind)))
        .chain(measured.iter().map(String::as_str))
        .collect();
    for family in &families {
        write(page, family, &taken);
    }
}

fn parse(rendered: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut help = None;
    for line in rendered.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' '))
        {
            let help = help.take().filter(|(of, _)| *of == name).map(|(_, help)| help);
            families.push(Family { name, kind, help, samples: Vec::new() });
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(family) = families.last_mut()
        {
            family.samples.push(line);
        }
    }
    families
}

fn write(page: &mut Page, family: &Family<'_>, taken: &HashSet<&str>) {
    // Counters of the facade are integers. A counter of seconds is therefore recorded as a
    // gauge, and the table of metrics says that it is a counter.
    let known = names::find(family.name);
    let kind = known.map_or(family.kind, |metric| metric.kind.as_str());
    let (name, kind) = match page.format() {
        Format::OpenMetrics if kind == MetricType::Counter.as_str() => {
            let stem = family.name.strip_suffix("_total");
            match stem.filter(|stem| known.is_some() || !taken.contains(stem)) {
                Some(stem) => (stem, kind),
                None => (family.name, "unknown"),
            }
        }
        _ => (family.name, kind),
    };
    if let Some(help) = known.map(|metric| metric.help).or(family.help) {
        page.raw(&["# HELP ", name, " "]);
        write_help(page, help);
        page.raw(&["\n"]);
    }
    page.raw(&["# TYPE ", name, " ", kind, "\n"]);
    if let Some(unit) = names::unit(name).filter(|_| page.format() == Format::OpenMetrics) {
        page.raw(&["# UNIT ", name, " ", unit, "\n"]);
    }
    let bounded = match family.kind {
        "histogram" => Some("le=\""),
        "summary" => Some("quantile=\""),
        _ => None,
    };
    for sample in &family.samples {
        write_sample(page, sample, bounded);
    }
}

/// Writes a help text whose backslashes and line ends are escaped already, but not its quotes.
fn write_help(page: &mut Page, help: &str) {
    if page.format() == Format::Text {
        return page.raw(&[help]);
    }
    for (at, part) in help.split('"').enumerate() {
        page.raw(&[if at == 0 { "" } else { "\\\"" }, part]);
    }
}

/// Writes a sample, its bound as a number with a point and its value in the formats' spelling.
fn write_sample(page: &mut Page, sample: &str, bounded: Option<&str>) {
    let (head, value) = sample.rsplit_once(' ').unwrap_or((sample, ""));
    match bounded.and_then(|label| whole_bound(head, label)) {
        Some(end) => page.raw(&[&head[..end], ".0", &head[end..]]),
        None => page.raw(&[head]),
    }
    let value = match value {
        "inf" => "+Inf",
        "-inf" => "-Inf",
        value => value,
    };
    page.raw(&[" ", value, "\n"]);
}

/// Where the value of `label` ends in `head`, if it is a whole number without a point.
fn whole_bound(head: &str, label: &str) -> Option<usize> {
    // Quotes inside a label value are escaped, so this match is always the label itself.
    let start = head.rfind(label)?;
    if !head[..start].ends_with(['{', ',']) {
        return None;
    }
    let value = start + label.len();
    let length = head[value..].find('"')?;
    let digits = &head[value..value + length];
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(value + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// A recorder's text with everything that one of the formats does not allow.
    fn recorded() -> String {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned()),
                &[0.5, 1.0],
            )
            .expect("buckets")
            .build_recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            ::metrics::describe_counter!("jobs_total", "Say \"jobs\".");
            ::metrics::counter!("jobs_total", "queue" => "a,le=\"1\"").increment(3);
            ::metrics::counter!("odd").increment(1);
            ::metrics::gauge!("pile").set(2.5);
            ::metrics::counter!("pile_total").increment(4);
            ::metrics::gauge!("limit").set(f64::INFINITY);
            ::metrics::histogram!("wait_seconds", "role" => "1").record(0.7);
            ::metrics::histogram!("size").record(2.0);
            ::metrics::gauge!("process_cpu_seconds_total").set(1.25);
            ::metrics::gauge!("health_check_up", "check" => "a").set(1.0);
            ::metrics::gauge!("health_check_runs").set(1.0);
            ::metrics::gauge!("health_check_lag_seconds").set(1.0);
        });
        handle.render()
    }

    fn appended(format: Format) -> String {
        let mut page = Page::new(format, 0);
        append(&mut page, &recorded(), Some(&["health_check_lag_seconds".to_owned()]));
        String::from_utf8(page.finish()).expect("UTF-8")
    }

    #[test]
    fn openmetrics_gets_the_hosts_metrics_in_its_own_spelling() {
        insta::assert_snapshot!(appended(Format::OpenMetrics));
    }

    #[test]
    fn text_gets_the_hosts_metrics_without_blank_lines() {
        insta::assert_snapshot!(appended(Format::Text));
    }

    #[test]
    fn only_the_bound_itself_is_rewritten() {
        assert_eq!(whole_bound("a{le=\"1\"}", "le=\""), Some(7));
        assert_eq!(whole_bound("a{le=\"+Inf\"}", "le=\""), None);
        assert_eq!(whole_bound("a{le=\"0.5\"}", "le=\""), None);
        assert_eq!(whole_bound("a{role=\"1\"}", "le=\""), None);
        assert_eq!(whole_bound("a{x=\",le=\\\"1\"}", "le=\""), None);
    }
}
