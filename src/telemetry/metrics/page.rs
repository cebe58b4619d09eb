//! Writes the text formats of metrics: `# HELP` and `# TYPE` lines, samples and histograms, in
//! the Prometheus text format or OpenMetrics. (HTML pages are in `http/page/`.)

use std::time::{Duration, SystemTime};

use super::Format;
use super::names::{self, Metric, MetricType};
use crate::engine::state::{BUCKETS, Exemplar, Histogram};

/// The bounds as values of `le`: with a decimal point in both formats, because OpenMetrics
/// requires it and a scraper that changes its format should continue the same series.
const BOUNDS: [&str; BUCKETS.len() + 1] = [
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0",
    "2.5", "5.0", "10.0", "30.0", "+Inf",
];

/// The text of a metrics page while it is written.
pub(super) struct Page {
    out: Vec<u8>,
    format: Format,
}

impl Page {
    pub(super) fn new(format: Format, capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), format }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Writes `metric` with its samples; writes nothing if there are no samples.
    pub(super) fn metric(&mut self, metric: &Metric, samples: impl FnOnce(&mut Self, &str)) {
        self.family(metric.name, metric.kind, metric.help, samples);
    }

    /// Writes a family with its samples, which get its name; writes nothing if there are no
    /// samples.
    pub(super) fn family(
        &mut self,
        name: &str,
        kind: MetricType,
        help: &str,
        samples: impl FnOnce(&mut Self, &str),
    ) {
        let start = self.out.len();
        match self.format {
            Format::Text => self.head(name, kind.as_str(), None, help),
            Format::OpenMetrics => {
                let family = names::family(name, kind);
                self.head(family, kind.as_str(), names::unit(family), help);
            }
        }
        let first = self.out.len();
        samples(self, name);
        if self.out.len() == first {
            self.out.truncate(start);
        }
    }

    fn head(&mut self, family: &str, kind: &str, unit: Option<&str>, help: &str) {
        self.raw(&["# HELP ", family, " "]);
        self.escaped(help, self.format == Format::OpenMetrics);
        self.raw(&["\n# TYPE ", family, " ", kind, "\n"]);
        if let Some(unit) = unit {
            self.raw(&["# UNIT ", family, " ", unit, "\n"]);
        }
    }

    /// Writes one sample; `labels` are the pieces of the text between the braces.
    #[inline]
    pub(super) fn sample(&mut self, name: &str, labels: &[&str], value: impl Value) {
        self.raw(&[name]);
        if labels.is_empty() {
            self.raw(&[" "]);
        } else {
            self.raw(&["{"]);
            self.raw(labels);
            self.raw(&["} "]);
        }
        value.write(&mut self.out);
        self.raw(&["\n"]);
    }

    /// Writes one sample of value 1 with `labels` and `more`, which are escaped here.
    pub(super) fn info<'a>(
        &mut self,
        name: &str,
        labels: &str,
        more: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        self.raw(&[name, "{", labels]);
        let mut first = labels.is_empty();
        for (label, value) in more {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            self.raw(&[comma, label, "=\""]);
            self.escaped(value, true);
            self.raw(&["\""]);
        }
        self.raw(&["} 1\n"]);
    }

    /// Writes a histogram's buckets, sum and count.
    pub(super) fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (slot, bound) in BOUNDS.iter().enumerate() {
            count += histogram.counts[slot];
            self.raw(&[name, "_bucket{", labels, comma, "le=\"", bound, "\"} "]);
            count.write(&mut self.out);
            if let Some(exemplar) = histogram.exemplars.as_ref().and_then(|e| e[slot].as_ref()) {
                self.exemplar(exemplar);
            }
            self.raw(&["\n"]);
        }
        let braces = if labels.is_empty() { ["", "", ""] } else { ["{", labels, "}"] };
        let [open, labels, close] = braces;
        self.raw(&[name, "_sum", open, labels, close, " "]);
        histogram.sum.write(&mut self.out);
        self.raw(&["\n", name, "_count", open, labels, close, " "]);
        count.write(&mut self.out);
        self.raw(&["\n"]);
    }

    /// Adds the exemplar of a bucket; the text format has no exemplars.
    fn exemplar(&mut self, exemplar: &Exemplar) {
        if self.format == Format::Text {
            return;
        }
        let (trace_id, span_id) = (exemplar.trace.trace_id_hex(), exemplar.trace.span_id_hex());
        self.raw(&[" # {trace_id=\"", &trace_id, "\",span_id=\"", &span_id, "\"} "]);
        exemplar.value.write(&mut self.out);
        self.raw(&[" "]);
        exemplar.at.write(&mut self.out);
    }

    /// Writes `pieces` as they are.
    #[inline]
    pub(super) fn raw(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.out.extend_from_slice(piece.as_bytes());
        }
    }

    /// Writes `text` with backslashes, line ends and optionally quotes escaped.
    pub(super) fn escaped(&mut self, text: &str, quotes: bool) {
        let mut rest = text;
        while let Some(at) = rest.find(['\\', '\n', '"']) {
            let (plain, special) = rest.split_at(at);
            let escaped = match special.as_bytes()[0] {
                b'\\' => "\\\\",
                b'\n' => "\\n",
                _ if quotes => "\\\"",
                _ => "\"",
            };
            self.raw(&[plain, escaped]);
            rest = &special[1..];
        }
        self.raw(&[rest]);
    }

    /// Ends the page.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.raw(&["# EOF\n"]);
        }
        self.out
    }
}

/// A number as both formats write it.
pub(super) trait Value {
    fn write(self, out: &mut Vec<u8>);
}

impl Value for u64 {
    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(itoa::Buffer::new().format(self).as_bytes());
    }
}

impl Value for bool {
    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        out.push(if self { b'1' } else { b'0' });
    }
}

impl Value for f64 {
    fn write(self, out: &mut Vec<u8>) {
        // Above 2^53 the neighbours of a float are further apart than 1.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let text = if self.is_nan() {
            "NaN"
        } else if self.is_infinite() {
            if self > 0.0 { "+Inf" } else { "-Inf" }
        } else if self.fract() == 0.0 && self.abs() < EXACT {
            #[allow(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
            let whole = self as i64;
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
            return;
        } else {
            out.extend_from_slice(ryu::Buffer::new().format_finite(self).as_bytes());
            return;
        };
        out.extend_from_slice(text.as_bytes());
    }
}

impl Value for Duration {
    fn write(self, out: &mut Vec<u8>) {
        self.as_secs_f64().write(out);
    }
}

/// Unix time to the millisecond; a clock before 1970 reads 0.
impl Value for SystemTime {
    fn write(self, out: &mut Vec<u8>) {
        let since = self.duration_since(Self::UNIX_EPOCH).unwrap_or_default();
        since.as_secs().write(out);
        let millis = since.subsec_millis();
        let digit = |place: u32| b'0' + u8::try_from(millis / place % 10).unwrap_or(0);
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Trace;

    fn written(value: impl Value) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    fn page(format: Format, write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(format, 0);
        write(&mut page);
        String::from_utf8(page.finish()).expect("UTF-8")
    }

    #[test]
    fn numbers_read_as_the_formats_want_them() {
        assert_eq!(written(0.0), "0");
        assert_eq!(written(-3.0), "-3");
        assert_eq!(written(0.25), "0.25");
        assert_eq!(written(1e300), "1e300");
        assert_eq!(written(f64::INFINITY), "+Inf");
        assert_eq!(written(f64::NEG_INFINITY), "-Inf");
        assert_eq!(written(f64::NAN), "NaN");
        assert_eq!(written(Duration::from_millis(1500)), "1.5");
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_042);
        assert_eq!(written(at), "1700000000.042");
        assert_eq!(written(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "0.000");
    }

    #[test]
    fn every_bound_is_shown_as_the_number_that_it_is() {
        for (bound, shown) in BUCKETS.iter().zip(BOUNDS) {
            assert_eq!(shown.parse::<f64>().expect("a number").to_bits(), bound.to_bits());
            assert!(shown.contains('.'), "{shown}");
        }
    }

    #[test]
    fn label_values_and_help_are_escaped() {
        let text = page(Format::Text, |page| {
            page.family("a", MetricType::Gauge, "say \"a\\b\"\nc", |page, name| {
                page.info(name, "", [("x", "\"\\\n"), ("y", "é")]);
            });
        });
        assert_eq!(
            text,
            "# HELP a say \"a\\\\b\"\\nc\n# TYPE a gauge\na{x=\"\\\"\\\\\\n\",y=\"é\"} 1\n"
        );
        let open = page(Format::OpenMetrics, |page| {
            page.family("a", MetricType::Gauge, "say \"a\"", |page, name| {
                page.sample(name, &[], true);
            });
        });
        assert_eq!(open, "# HELP a say \\\"a\\\"\n# TYPE a gauge\na 1\n# EOF\n");
    }

    #[test]
    fn a_family_without_samples_leaves_no_head() {
        let nothing = page(Format::Text, |page| page.metric(&names::CHECK_UP, |_, _| ()));
        assert_eq!(nothing, "");
    }

    #[test]
    fn buckets_carry_their_exemplar_in_openmetrics_alone() {
        let mut histogram = Histogram::default();
        let trace = Trace { trace_id: 0xab, span_id: 0xcd, sampled: false };
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        histogram.record(Duration::from_millis(250), Some(trace), at);
        histogram.record(Duration::from_millis(500), None, at);
        let write = |page: &mut Page| page.histogram("h", "a=\"b\"", &histogram);
        let open = page(Format::OpenMetrics, write);
        let exemplar = "h_bucket{a=\"b\",le=\"0.25\"} 1 \
                        # {trace_id=\"000000000000000000000000000000ab\",\
                        span_id=\"00000000000000cd\"} 0.25 1700000000.500\n";
        assert!(open.contains(exemplar), "{open}");
        assert_eq!(open.matches(" # ").count(), 1);
        assert!(open.contains("h_bucket{a=\"b\",le=\"+Inf\"} 2\n"));
        assert!(open.contains("h_sum{a=\"b\"} 0.75\nh_count{a=\"b\"} 2\n"), "{open}");
        let text = page(Format::Text, write);
        assert!(text.contains("h_bucket{a=\"b\",le=\"0.25\"} 1\n"), "{text}");
    }
}
