//! What is expected of a queue.

use crate::engine::check::{Context, Failure};
use crate::model::{Measurement, Reason};

use super::frame::Queue;

/// How many messages wait.
pub(super) static MESSAGES: Measurement = Measurement {
    name: "queue_messages",
    help: "Messages that wait in a queue, those handed to a consumer not counted.",
};

/// How many consumers there are.
pub(super) static CONSUMERS: Measurement =
    Measurement { name: "queue_consumers", help: "Consumers of a queue." };

/// A queue and how it is to be.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) max_messages: Option<u32>,
    pub(super) min_consumers: Option<u32>,
}

impl Watched {
    /// Notes what was `found` and judges it.
    pub(super) fn judge(&self, cx: &Context, found: &Queue) -> Result<(), Failure> {
        let Queue { messages, consumers } = *found;
        cx.measure(&MESSAGES, messages.into());
        cx.measure(&CONSUMERS, consumers.into());
        let name = &self.name;
        let wrong = |text| Err(Failure::new(Reason::OutOfRange, text).answered());
        match (self.max_messages, self.min_consumers) {
            (Some(most), _) if messages > most => wrong(format!(
                "the queue {name} holds {messages} messages, above max_messages, {most}"
            )),
            (_, Some(fewest)) if consumers < fewest => wrong(format!(
                "the queue {name} has {consumers} consumers, below min_consumers, {fewest}"
            )),
            _ => Ok(()),
        }
    }
}
