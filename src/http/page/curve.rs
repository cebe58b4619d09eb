//! Curves of latency: the small one of the last hour, and the chart of a check's page.

use std::fmt::Write;
use std::time::Duration;

use super::text::{latency, percent, written};
use crate::history::Step;
use crate::history::recent::{MINUTES, Minute};
use crate::model::Status;

/// Size of the small curve, in the units of its picture.
const SPARK: (i64, i64) = (118, 26);

/// Size of the chart, in the units of its picture.
const CHART: (i64, i64) = (7200, 2000);

/// The last hour of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spark {
    pub(super) line: String,
    /// A mark for each minute in which a run failed.
    pub(super) failed: String,
    /// Mean of the last minute that has one.
    pub(super) latest: String,
    /// The whole in words.
    pub(super) words: String,
}

impl Spark {
    /// The curve of an hour of a check with this interval; `None` where nothing ran.
    pub(super) fn new(hour: &[Minute; MINUTES], interval: Duration) -> Option<Self> {
        // A check that is asked every five minutes has no run in most of them, and no gap either.
        let bridged = usize::try_from(interval.as_secs() / 60 + 1).unwrap_or(MINUTES);
        let means: Vec<Option<Duration>> = hour.iter().map(|minute| minute.mean).collect();
        let failed = hour.iter().filter(|minute| minute.failed).count();
        let known: Vec<Duration> = means.iter().copied().flatten().collect();
        if known.is_empty() && failed == 0 {
            return None;
        }
        let most = known.iter().max().copied().unwrap_or_default();
        let (line, _) = traced(&means, most, SPARK, bridged);
        let mut marks = String::new();
        for (place, _) in hour.iter().enumerate().filter(|(_, minute)| minute.failed) {
            let _ = write!(marks, "M{} 0v32", x_of(place, MINUTES, SPARK.0));
        }
        let latest = known.last().copied().map_or_else(|| "–".to_owned(), latency);
        let words = words(&known, most, failed);
        Some(Self { line, failed: marks, latest, words })
    }
}

fn words(known: &[Duration], most: Duration, failed: usize) -> String {
    let mut words = match u32::try_from(known.len()).unwrap_or(u32::MAX) {
        0 => "Latency in the last hour: no good run".to_owned(),
        count => {
            let mean = latency(known.iter().sum::<Duration>() / count);
            format!("Latency in the last hour: about {mean}, at most {} in a minute", latency(most))
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
        let (p95, p95_area) = traced(&p95s, top, CHART, 1);
        let (p50, _) = traced(&p50s, top, CHART, 1);
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
    let edge = |place: usize| CHART.0 * number(place) / number(steps.len()).max(1);
    let path = |status: Status| {
        let mut path = String::new();
        let mut place = 0;
        for run in steps.chunk_by(|a, b| a.worst == b.worst) {
            if run.first().and_then(|step| step.worst) == Some(status) {
                let _ = write!(path, "M{} 3H{}", edge(place), edge(place + run.len()));
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

/// The least round number that `most` fits under.
fn round_up(most: Duration) -> Duration {
    const TENTHS: [u128; 9] = [10, 15, 20, 30, 40, 50, 60, 80, 100];
    let nanos = most.as_nanos().max(1_000);
    let mut power: u128 = 1;
    while power.saturating_mul(100) < nanos {
        power = power.saturating_mul(10);
    }
    let top = TENTHS.iter().map(|tenths| power.saturating_mul(*tenths)).find(|top| *top >= nanos);
    Duration::from_nanos(u64::try_from(top.unwrap_or(nanos)).unwrap_or(u64::MAX))
}

/// The line through `values` and the area under it, in a picture of `size` whose top is `top`. It
/// is broken where the next value is more than `bridged` places away.
fn traced(
    values: &[Option<Duration>],
    top: Duration,
    size: (i64, i64),
    bridged: usize,
) -> (String, String) {
    // A little room above, so that the peak's stroke is not cut.
    let room = size.1 - size.1 / 13;
    let y_of = |value: Duration| {
        let share = value.as_secs_f64() / top.as_secs_f64().max(f64::MIN_POSITIVE);
        #[allow(clippy::cast_possible_truncation, reason = "it is at most the picture's height")]
        let height = (share.clamp(0.0, 1.0) * room as f64).round() as i64;
        size.1 - height
    };
    let known: Vec<_> =
        values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?))).collect();
    let (mut line, mut area) = (String::new(), String::new());
    for run in known.chunk_by(|(before, _), (after, _)| after - before <= bridged) {
        let points = run.iter().map(|(at, value)| (x_of(*at, values.len(), size.0), y_of(*value)));
        let points: Vec<_> = points.collect();
        let Some(first) = points.first() else { continue };
        let mut steps = String::new();
        for (before, after) in points.iter().zip(&points[1..]) {
            let _ = write!(steps, "l{} {}", after.0 - before.0, after.1 - before.1);
        }
        // A minus sign separates well enough.
        let steps = steps.replace(" -", "-");
        // A line of no length with round ends is a dot.
        let dot = if points.len() == 1 { "h0" } else { "" };
        let _ = write!(line, "M{} {}{dot}{steps}", first.0, first.1);
        let _ = write!(area, "M{} {}V{}{steps}V{}Z", first.0, size.1, first.1, size.1);
    }
    (line, area)
}

/// The middle of a place among `count`, in a picture of `width`.
fn x_of(place: usize, count: usize, width: i64) -> i64 {
    width * (2 * number(place) + 1) / (2 * number(count).max(1))
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::history::Share;

    const OFTEN: Duration = Duration::from_secs(10);

    fn minute(millis: u64) -> Minute {
        Minute { mean: Some(Duration::from_millis(millis)), failed: false }
    }

    #[test]
    fn an_hour_without_runs_has_no_curve() {
        assert_eq!(Spark::new(&[Minute::default(); MINUTES], OFTEN), None);
    }

    #[test]
    fn the_curve_is_broken_where_nothing_ran_and_marks_failures() {
        let mut hour = [Minute::default(); MINUTES];
        hour[0] = minute(10);
        hour[1] = minute(20);
        hour[59] = minute(5);
        hour[30] = Minute { mean: None, failed: true };
        let spark = Spark::new(&hour, OFTEN).expect("runs");
        assert_eq!(spark.line, "M0 14l2-12M117 20h0");
        assert_eq!(spark.failed, "M59 0v32");
        assert_eq!(spark.latest, "5.0 ms");
        let words = "Latency in the last hour: about 12 ms, at most 20 ms in a minute; \
                     runs failed in 1 minute";
        assert_eq!(spark.words, words);
    }

    #[test]
    fn a_check_that_is_seldom_asked_has_a_line_all_the_same() {
        let mut hour = [Minute::default(); MINUTES];
        hour[0] = minute(10);
        hour[5] = minute(20);
        let spark = Spark::new(&hour, Duration::from_mins(5)).expect("runs");
        assert_eq!(spark.line, "M0 14l10-12");
    }

    #[test]
    fn an_hour_of_failures_alone_says_so() {
        let spark =
            Spark::new(&[Minute { mean: None, failed: true }; MINUTES], OFTEN).expect("runs");
        assert_eq!((spark.line.as_str(), spark.latest.as_str()), ("", "–"));
        assert!(spark.words.ends_with("no good run; runs failed in 60 minutes"), "{}", spark.words);
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (micros, wanted) in [(0, 1), (1, 1), (7, 8), (1_000, 1_000), (1_001, 1_500)] {
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
            reasons: Vec::new(),
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
        assert_eq!(chart.scale, ["40 ms", "20 ms", "0"]);
        assert_eq!(chart.p95, "M900 1538h0M4500 153l1800 923");
        assert_eq!(chart.bands[0], ("up", "M0 3H1800M5400 3H7200".to_owned()));
        assert_eq!(chart.bands[1], ("down", "M3600 3H5400".to_owned()));
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
