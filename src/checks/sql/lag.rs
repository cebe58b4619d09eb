//! Judges the replication lag of a replica by its limits.

use std::time::Duration;

use crate::config::{OptionError, Period};
use crate::engine::check::{Context, Detail, Failure};
use crate::model::{Measurement, Reason};

/// How far the replica is behind.
pub(crate) static REPLICATION_LAG: Measurement = Measurement {
    name: "replication_lag_seconds",
    help: "How far a replica is behind its primary.",
};

/// What a replica says of its lag.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL says so"))]
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Lag {
    /// That many seconds, behind the source of this name where there are several.
    Seconds { seconds: f64, source: Option<String> },
    /// It has heard of nothing new for too long, and cannot tell a source that is idle from one that
    /// is cut off itself.
    Silent(String),
    /// The lag is unknown; the text says why.
    Unknown(String),
    /// It has stopped replicating, and how.
    Stopped(String),
}

impl Lag {
    /// That many seconds, behind its only source.
    #[cfg(feature = "postgres")]
    pub(crate) const fn seconds(seconds: f64) -> Self {
        Self::Seconds { seconds, source: None }
    }
}

/// The bounds on a replica's lag.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LagLimits {
    warn: Option<Duration>,
    max: Option<Duration>,
}

impl LagLimits {
    /// The configured bounds, or what is wrong with them.
    pub(crate) fn read(
        warn: Option<Period>,
        max: Option<Period>,
        errors: &mut Vec<OptionError>,
    ) -> Self {
        if let (Some(warn), Some(max)) = (warn, max)
            && warn >= max
        {
            errors.push(OptionError::new(
                "warn_replication_lag",
                "it is not below max_replication_lag; the warning would never show",
            ));
        }
        Self { warn: warn.map(|p| p.0), max: max.map(|p| p.0) }
    }

    /// The smallest of the bounds; none where the lag need not be asked.
    pub(crate) fn smallest(self) -> Option<Duration> {
        self.warn.or(self.max)
    }

    /// Judges `lag`, and records it as a figure.
    pub(crate) fn judge(self, lag: &Lag, cx: &Context) -> Result<Detail, Failure> {
        let (seconds, source) = match lag {
            Lag::Seconds { seconds, source } => (*seconds, source.as_deref()),
            Lag::Stopped(how) | Lag::Unknown(how) if self.max.is_some() => {
                return Err(Failure::new(Reason::OutOfRange, how.clone()).answered());
            }
            Lag::Stopped(why) | Lag::Unknown(why) | Lag::Silent(why) => {
                return Ok(Detail::warning(why.clone()));
            }
        };
        cx.measure(&REPLICATION_LAG, seconds);
        let source = source.map(|name| format!(" behind `{name}`")).unwrap_or_default();
        let text = |limit: Duration| {
            let limit = humantime::format_duration(limit);
            format!("the replica lags by {seconds:.1} s{source}, more than {limit}")
        };
        let above = |limit: Option<Duration>| limit.filter(|l| seconds > l.as_secs_f64());
        if let Some(max) = above(self.max) {
            return Err(Failure::new(Reason::OutOfRange, text(max)).answered());
        }
        Ok(above(self.warn).map_or_else(Detail::ok, |warn| Detail::warning(text(warn))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(warn: Option<u64>, max: Option<u64>) -> (LagLimits, Vec<OptionError>) {
        let period = |s: u64| Period(Duration::from_secs(s));
        let mut errors = Vec::new();
        (LagLimits::read(warn.map(period), max.map(period), &mut errors), errors)
    }

    fn judge(limits: LagLimits, lag: &Lag) -> (Result<Detail, Reason>, Option<f64>) {
        let cx = Context::new(tokio::time::Instant::now(), None);
        let verdict = limits.judge(lag, &cx).map_err(|f| f.reason());
        (verdict, cx.take_observed().measurements.first().map(|(_, v)| *v))
    }

    #[test]
    fn a_lag_warns_above_the_one_bound_and_fails_above_the_other() {
        let (both, errors) = limits(Some(5), Some(10));
        assert!(errors.is_empty() && both.smallest() == Some(Duration::from_secs(5)));
        assert_eq!(judge(both, &Lag::seconds(5.0)), (Ok(Detail::ok()), Some(5.0)));
        let (verdict, _) = judge(both, &Lag::seconds(6.0));
        assert!(verdict.is_ok_and(|d| d.caveat.is_some_and(|c| c.contains("lags by 6.0 s"))));
        assert_eq!(judge(both, &Lag::seconds(11.0)), (Err(Reason::OutOfRange), Some(11.0)));
    }

    #[test]
    fn a_lag_that_is_not_known_fails_a_check_with_an_upper_bound_and_warns_without() {
        let (upper, lower) = (limits(None, Some(1)).0, limits(Some(1), None).0);
        for lag in [Lag::Stopped("it has stopped".into()), Lag::Unknown("it cannot tell".into())] {
            assert_eq!(judge(upper, &lag), (Err(Reason::OutOfRange), None));
            let (verdict, figure) = judge(lower, &lag);
            assert!(verdict.is_ok_and(|d| d.caveat.is_some()) && figure.is_none());
        }
        let silent = Lag::Silent("it has heard nothing".into());
        for bounds in [upper, lower] {
            let (verdict, figure) = judge(bounds, &silent);
            assert!(verdict.is_ok_and(|d| d.caveat.is_some()) && figure.is_none());
        }
    }

    #[test]
    fn a_source_among_several_is_named() {
        let lag = Lag::Seconds { seconds: 3.0, source: Some("m1".into()) };
        let (verdict, _) = judge(limits(Some(1), None).0, &lag);
        assert!(verdict.is_ok_and(|d| d.caveat.is_some_and(|c| c.contains("behind `m1`"))));
    }

    #[test]
    fn a_warning_that_could_never_show_is_an_error() {
        assert_eq!(limits(Some(10), Some(10)).1[0].path, "warn_replication_lag");
        assert_eq!(limits(None, None).0.smallest(), None);
    }
}
