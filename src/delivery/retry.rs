//! When a request is retried: doubling pauses with jitter, and the pause that the receiver
//! requests.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Sending it again does not help.
    Never,
    /// After the next pause.
    Soon,
    /// Not before the time that the receiver asked for.
    After(Duration),
}

/// What is sent after a failure that may pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resend {
    /// The same request, for no longer than `within`, pauses included.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only spans are sent so"))]
    Same {
        /// The time for all attempts together.
        within: Duration,
    },
    /// What the source holds newest by then. It never gives up, except at a stop.
    #[cfg_attr(not(feature = "alertmanager"), allow(dead_code, reason = "only alerts are sent so"))]
    Newest,
}

/// The numbers of a sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Longest one attempt may take.
    pub(crate) attempt: Duration,
    /// Pause after the first failure; each further one is twice as long.
    pub(crate) first_pause: Duration,
    /// Longest pause that doubling leads to, jitter apart.
    pub(crate) longest_pause: Duration,
    /// Longest pause that a receiver may ask for.
    pub(crate) longest_retry_after: Duration,
    /// What is sent after a failure.
    pub(crate) resend: Resend,
}

/// The pauses of one sender.
#[derive(Debug)]
pub(super) struct Backoff {
    policy: RetryPolicy,
    pause: Duration,
}

impl Backoff {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, pause: policy.first_pause }
    }

    /// The pause before the next attempt; `None` when there must be none.
    pub(super) fn pause(&mut self, retry: Retry) -> Option<Duration> {
        let pause = match retry {
            Retry::Never => return None,
            Retry::Soon => self.pause + jitter(self.pause),
            Retry::After(wait) => wait.max(self.pause).min(self.policy.longest_retry_after),
        };
        self.pause = (self.pause * 2).min(self.policy.longest_pause);
        Some(pause)
    }

    /// The receiver works again, or another request begins: the next pause is the first one.
    pub(super) fn reset(&mut self) {
        self.pause = self.policy.first_pause;
    }
}

/// Up to half of `pause`, so that many senders do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_with_jitter_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::new(RetryPolicy {
            attempt: SECOND,
            first_pause: SECOND,
            longest_pause: 4 * SECOND,
            longest_retry_after: 60 * SECOND,
            resend: Resend::Newest,
        });
        for pause in [1, 2, 4, 4] {
            let found = backoff.pause(Retry::Soon).unwrap();
            let range = pause * SECOND..=pause * SECOND * 3 / 2;
            assert!(range.contains(&found), "{found:?} not in {range:?}");
        }
        assert_eq!(backoff.pause(Retry::After(Duration::ZERO)), Some(4 * SECOND));
        assert_eq!(backoff.pause(Retry::After(30 * SECOND)), Some(30 * SECOND));
        assert_eq!(backoff.pause(Retry::After(3_600 * SECOND)), Some(60 * SECOND));
        assert_eq!(backoff.pause(Retry::Never), None);
        backoff.reset();
        assert_eq!(backoff.pause(Retry::After(Duration::ZERO)), Some(SECOND));
    }
}
