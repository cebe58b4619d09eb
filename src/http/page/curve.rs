//! Curves of latency: the small one of the last hour, and the chart of a check's page.

use std::fmt::Write;
use std::time::Duration;

use super::text::{latency, percent, written};
use crate::history::Step;
use crate::model::Status;
use crate::recent::{MINUTES, Minute};

/// Size of the small curve, in the units of its picture.
const SPARK: (f64, f64) = (118.0, 26.0);

/// Size of the chart, in the units of its picture.
const CHART: (f64, f64) = (720.0, 200.0);

/// The last hour of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spark {
    pub(super) line: String,
    pub(super) area: String,
    /// A mark for each minute in which a run failed.
    pub(super) failed: String,
    /// Mean of the last minute that has one.
    pub(super) latest: String,
    /// The whole in words.
    pub(super) words: String,
}

impl Spark {
    /// The curve of an hour; `None` where nothing ran.
    pub(super) fn new(hour: &[Minute; MINUTES]) -> Option<Self> {
        let means: Vec<Option<Duration>> = hour.iter().map(|minute| minute.mean).collect();
        let failed = hour.iter().filter(|minute| minute.failed).count();
        let known: Vec<Duration> = means.iter().copied().flatten().collect();
        if known.is_empty() && failed == 0 {
            return None;
        }
        let most = known.iter().max().copied().unwrap_or_default();
        let (line, area) = traced(&means, most, SPARK);
        let mut marks = String::new();
        for (place, _) in hour.iter().enumerate().filter(|(_, minute)| minute.failed) {
            let _ = write!(marks, "M{} 28v4", x_of(place, MINUTES, SPARK.0));
        }
        let latest = known.last().copied().map_or_else(|| "–".to_owned(), latency);
        let words = words(&known, most, failed);
        Some(Self { line, area, failed: marks, latest, words })
    }
}

fn words(known: &[Duration], most: Duration, failed: usize) -> String {
    let mut words = match u32::try_from(known.len()).unwrap_or(u32::MAX) {
        0 => "Latency in the last hour: no good run".to_owned(),
        count => {
            let mean = latency(known.iter().sum::<Duration>() / count);
            format!("Latency in the last hour: mean {mean}, at most {} in a minute", latency(most))
        }
    };
    match failed {
        0 => {}
        1 => words.push_str("; runs failed in 1 minute"),
        _ => {
            let _ = write!(words, "; runs failed in {failed} minutes");
        }
    }
    words
}

/// The steps of a check's past, as a chart.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) p95: String,
    pub(super) p95_area: String,
    pub(super) p50: String,
    /// Class and data of a path for each status that is not up, along the bottom.
    pub(super) bands: Vec<(&'static str, String)>,
    /// The upper end of the scale, its half and 0.
    pub(super) scale: [String; 3],
    /// Moments along the bottom, from first to last.
    pub(super) times: Vec<String>,
    /// Each step in words, for the script: separated by `|`.
    pub(super) labels: String,
    pub(super) rows: Vec<ChartRow>,
    /// The whole in words.
    pub(super) words: String,
}

/// A step as a row of the table beside the chart.
#[derive(Debug)]
pub(super) struct ChartRow {
    pub(super) at: String,
    pub(super) runs: u64,
    pub(super) share: String,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) max: String,
    pub(super) status: &'static str,
}

impl Chart {
    /// The chart of steps; `None` where nothing ran. `format` writes the moments of steps.
    pub(super) fn new(steps: &[Step], format: &str) -> Option<Self> {
        if steps.iter().all(|step| step.runs == 0) {
            return None;
        }
        let p95s: Vec<_> = steps.iter().map(|step| step.p95).collect();
        let p50s: Vec<_> = steps.iter().map(|step| step.p50).collect();
        let most = p95s.iter().copied().flatten().max().unwrap_or_default();
        let top = round_up(most);
        let (p95, p95_area) = traced(&p95s, top, CHART);
        let (p50, _) = traced(&p50s, top, CHART);
        let rows: Vec<_> = steps.iter().map(|step| ChartRow::new(step, format)).collect();
        let failed = steps.iter().filter(|step| step.worst == Some(Status::Down)).count();
        let down = match failed {
            0 => String::new(),
            1 => "; down within 1 of its steps".to_owned(),
            _ => format!("; down within {failed} of its steps"),
        };
        let words = format!("The 95th percentile was at most {}{down}.", latency(most));
        let labels: Vec<_> = rows.iter().map(ChartRow::label).collect();
        Some(Self {
            p95,
            p95_area,
            p50,
            bands: bands(steps),
            scale: [latency(top), latency(top / 2), "0".to_owned()],
            times: times(steps, format),
            labels: labels.join("|"),
            rows,
            words,
        })
    }
}

impl ChartRow {
    fn new(step: &Step, format: &str) -> Self {
        let shown = |duration: Option<Duration>| duration.map_or_else(|| "–".to_owned(), latency);
        Self {
            at: written(step.at, format),
            runs: step.runs,
            share: percent(step.share).unwrap_or_else(|| "–".to_owned()),
            p50: shown(step.p50),
            p95: shown(step.p95),
            max: shown(step.max),
            status: step.worst.map_or("–", Status::as_str),
        }
    }

    fn label(&self) -> String {
        let Self { at, runs, share, p50, p95, status, .. } = self;
        if *runs == 0 {
            return format!("{at}: no runs");
        }
        format!("{at}: p50 {p50}, p95 {p95}; {share} of {runs} runs good; {status}")
    }
}

/// Few enough moments to stand side by side on a narrow screen.
fn times(steps: &[Step], format: &str) -> Vec<String> {
    let places = [0, steps.len() / 3, steps.len() * 2 / 3, steps.len().saturating_sub(1)];
    places.into_iter().filter_map(|place| Some(written(steps.get(place)?.at, format))).collect()
}

fn bands(steps: &[Step]) -> Vec<(&'static str, String)> {
    let width = CHART.0 / steps.len().max(1) as f64;
    let path = |status: Status| {
        let mut path = String::new();
        let mut place = 0;
        for run in steps.chunk_by(|a, b| a.worst == b.worst) {
            if run.first().and_then(|step| step.worst) == Some(status) {
                let (from, length) = (place as f64 * width, run.len() as f64 * width);
                let _ = write!(path, "M{} 0h{}", tenth(from), tenth(length));
            }
            place += run.len();
        }
        (!path.is_empty()).then(|| (status.as_str(), path))
    };
    [Status::Up, Status::Unknown, Status::Degraded, Status::Down]
        .into_iter()
        .filter_map(path)
        .collect()
}

/// The least of 1, 2 or 5 times a power of ten that `most` fits under.
fn round_up(most: Duration) -> Duration {
    let micros = most.as_micros().max(1);
    let mut power: u128 = 1;
    while power.saturating_mul(10) < micros {
        power = power.saturating_mul(10);
    }
    let factors = [1, 2, 5, 10];
    let top = factors.iter().map(|f| power.saturating_mul(*f)).find(|top| *top >= micros);
    Duration::from_micros(u64::try_from(top.unwrap_or(micros)).unwrap_or(u64::MAX))
}

/// The line through `values` and the area under it, in a picture of `size` whose top is `top`;
/// where a value is missing the line is broken.
fn traced(values: &[Option<Duration>], top: Duration, size: (f64, f64)) -> (String, String) {
    let (mut line, mut area) = (String::new(), String::new());
    let point = |place: usize, value: Duration| {
        let share = value.as_secs_f64() / top.as_secs_f64().max(f64::MIN_POSITIVE);
        // A little room above, so that the peak's stroke is not cut.
        let y = size.1 - share.clamp(0.0, 1.0) * (size.1 - 2.0);
        (x_of(place, values.len(), size.0), tenth(y))
    };
    let mut place = 0;
    for run in values.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let points: Vec<_> = (place..)
            .zip(run)
            .filter_map(|(place, value)| Some(point(place, (*value)?)))
            .collect();
        place += run.len();
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        for (at, (x, y)) in points.iter().enumerate() {
            let _ = write!(line, "{}{x} {y}", if at == 0 { 'M' } else { 'L' });
            let _ = match at {
                0 => write!(area, "M{x} {}V{y}", size.1),
                _ => write!(area, "L{x} {y}"),
            };
        }
        if points.len() == 1 {
            // A line of no length with round ends is a dot.
            let _ = write!(line, "H{}", first.0);
        }
        let _ = write!(area, "L{} {}Z", last.0, size.1);
    }
    (line, area)
}

fn x_of(place: usize, count: usize, width: f64) -> f64 {
    tenth(width * (place as f64 + 0.5) / count.max(1) as f64)
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::history::Share;

    fn minute(millis: u64) -> Minute {
        Minute { mean: Some(Duration::from_millis(millis)), failed: false }
    }

    #[test]
    fn an_hour_without_runs_has_no_curve() {
        assert_eq!(Spark::new(&[Minute::default(); MINUTES]), None);
    }

    #[test]
    fn the_curve_is_broken_where_nothing_ran_and_marks_failures() {
        let mut hour = [Minute::default(); MINUTES];
        hour[0] = minute(10);
        hour[1] = minute(20);
        hour[59] = minute(5);
        hour[30] = Minute { mean: None, failed: true };
        let spark = Spark::new(&hour).expect("runs");
        assert_eq!(spark.line, "M1 14L3 2M117 20H117");
        assert_eq!(spark.area, "M1 26V14L3 2L3 26ZM117 26V20L117 26Z");
        assert_eq!(spark.failed, "M60 28v4");
        assert_eq!(spark.latest, "5.0 ms");
        let words = "Latency in the last hour: mean 12 ms, at most 20 ms in a minute; \
                     runs failed in 1 minute";
        assert_eq!(spark.words, words);
    }

    #[test]
    fn an_hour_of_failures_alone_says_so() {
        let spark = Spark::new(&[Minute { mean: None, failed: true }; MINUTES]).expect("runs");
        assert_eq!((spark.line.as_str(), spark.latest.as_str()), ("", "–"));
        assert!(spark.words.ends_with("no good run; runs failed in 60 minutes"), "{}", spark.words);
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (micros, wanted) in [(0, 1), (1, 1), (3, 5), (1_000, 1_000), (1_001, 2_000)] {
            assert_eq!(round_up(Duration::from_micros(micros)), Duration::from_micros(wanted));
        }
        assert!(round_up(Duration::MAX) > Duration::ZERO);
    }

    fn step(place: u64, p95: Option<u64>, worst: Status) -> Step {
        let millis = |value: u64| Some(Duration::from_millis(value));
        Step {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(place * 900),
            runs: if p95.is_some() { 90 } else { 0 },
            good: 90,
            share: Share { good: 89, counted: 90 },
            p50: p95.and_then(|p95| millis(p95 / 2)),
            p95: p95.and_then(millis),
            max: p95.and_then(|p95| millis(p95 * 2)),
            worst: p95.map(|_| worst),
        }
    }

    #[test]
    fn a_chart_tells_every_step_three_times() {
        let steps = [
            step(0, Some(10), Status::Up),
            step(1, None, Status::Up),
            step(2, Some(40), Status::Down),
            step(3, Some(20), Status::Up),
        ];
        let chart = Chart::new(&steps, "%H:%M").expect("runs");
        assert_eq!(chart.scale, ["50 ms", "25 ms", "0"]);
        assert_eq!(chart.p95, "M90 160.4H90M450 41.6L630 120.8");
        assert_eq!(chart.bands[0], ("up", "M0 0h180M540 0h180".to_owned()));
        assert_eq!(chart.bands[1], ("down", "M360 0h180".to_owned()));
        let labels: Vec<_> = chart.labels.split('|').collect();
        assert_eq!(labels[0], "00:00: p50 5.0 ms, p95 10 ms; 98.88% of 90 runs good; up");
        assert_eq!(labels[1], "00:15: no runs");
        assert_eq!(chart.rows.len(), 4);
        assert_eq!(chart.times, ["00:00", "00:15", "00:30", "00:45"]);
        let words = "The 95th percentile was at most 40 ms; down within 1 of its steps.";
        assert_eq!(chart.words, words);
        assert!(Chart::new(&steps[1..2], "%H:%M").is_none());
    }
}
