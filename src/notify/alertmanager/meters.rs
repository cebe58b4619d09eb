//! The metrics about posts to Alertmanager.

use metrics::{Counter, counter};

const POSTS: &str = "health_alertmanager_posts_total";

/// Handles to the counters; both start at 0.
pub(super) struct Meters {
    pub(super) success: Counter,
    pub(super) failure: Counter,
}

impl Meters {
    /// Registers them with the recorder that is installed now.
    pub(super) fn register() -> Self {
        let of = |outcome: &'static str| counter!(POSTS, "outcome" => outcome);
        let meters = Self { success: of("success"), failure: of("failure") };
        meters.success.increment(0);
        meters.failure.increment(0);
        meters
    }
}
