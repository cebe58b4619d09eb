//! How far a replica may lag, and how its lag is judged.

use std::time::Duration;

use crate::checks::replication::REPLICATION_LAG;
use crate::config::{OptionError, Period};
use crate::engine::check::{Context, Detail, Failure};
use crate::model::Reason;

/// What a replica says of its lag.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Lag {
    /// That many seconds.
    Seconds(f64),
    /// It replicates and cannot tell yet, and why.
    Unknown(&'static str),
    /// It has stopped replicating, and how.
    Stopped(&'static str),
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

    /// Whether the lag need be asked at all.
    pub(crate) fn wanted(self) -> bool {
        self.warn.is_some() || self.max.is_some()
    }

    /// Judges `lag`, and notes it as a figure.
    pub(crate) fn judge(self, lag: &Lag, cx: &Context) -> Result<Detail, Failure> {
        let seconds = match *lag {
            Lag::Seconds(seconds) => seconds,
            Lag::Stopped(how) if self.max.is_some() => {
                return Err(Failure::new(Reason::OutOfRange, how).answered());
            }
            Lag::Stopped(why) | Lag::Unknown(why) => return Ok(Detail::warning(why)),
        };
        cx.measure(&REPLICATION_LAG, seconds);
        let above = |limit: Option<Duration>| limit.filter(|l| seconds > l.as_secs_f64());
        if let Some(max) = above(self.max) {
            let max = humantime::format_duration(max);
            let message = format!("the replica lags by {seconds:.1} s, more than {max}");
            return Err(Failure::new(Reason::OutOfRange, message).answered());
        }
        Ok(match above(self.warn) {
            Some(warn) => {
                let warn = humantime::format_duration(warn);
                Detail::warning(format!("the replica lags by {seconds:.1} s, more than {warn}"))
            }
            None => Detail::ok(),
        })
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
        assert!(errors.is_empty() && both.wanted());
        assert_eq!(judge(both, &Lag::Seconds(5.0)), (Ok(Detail::ok()), Some(5.0)));
        let (verdict, _) = judge(both, &Lag::Seconds(6.0));
        assert!(verdict.is_ok_and(|d| d.caveat.is_some_and(|c| c.contains("lags by 6.0 s"))));
        assert_eq!(judge(both, &Lag::Seconds(11.0)), (Err(Reason::OutOfRange), Some(11.0)));
    }

    #[test]
    fn a_replica_that_stopped_fails_only_a_check_with_an_upper_bound() {
        let (upper, lower) = (limits(None, Some(1)).0, limits(Some(1), None).0);
        let stopped = Lag::Stopped("replication has stopped");
        assert_eq!(judge(upper, &stopped), (Err(Reason::OutOfRange), None));
        for (bounds, lag) in [(lower, stopped), (upper, Lag::Unknown("it has just started"))] {
            let (verdict, _) = judge(bounds, &lag);
            assert!(verdict.is_ok_and(|d| d.caveat.is_some()));
        }
    }

    #[test]
    fn a_warning_that_could_never_show_is_an_error() {
        assert_eq!(limits(Some(10), Some(10)).1[0].path, "warn_replication_lag");
        assert!(!limits(None, None).0.wanted());
    }
}
