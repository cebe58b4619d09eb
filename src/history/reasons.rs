//! Why runs failed: how many for which reason, in each minute and hour.
//!
//! A check that does not fail pays nothing for this: no memory is allocated, and no row is written.
//! The list of reasons is closed, so a period takes a bounded number of bytes however many of its
//! runs fail.

use crate::model::Reason;

/// How many runs failed for which reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reasons(Option<Box<[u32; Reason::ALL.len()]>>);

impl Reasons {
    /// Adds runs that failed for `reason`.
    pub(super) fn add(&mut self, reason: Reason, runs: u32) {
        // It belongs to runs that could not be made, which are no failures.
        if runs == 0 || reason == Reason::LocalResource {
            return;
        }
        let counts = self.0.get_or_insert_with(|| Box::new([0; Reason::ALL.len()]));
        if let Some(count) = counts.get_mut(reason as usize) {
            *count = count.saturating_add(runs);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (reason, runs) in other.iter() {
            self.add(reason, runs);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The reasons that there were, in the order of the closed list.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Reason, u32)> {
        let counts = self.0.as_deref().into_iter().flatten();
        Reason::ALL.iter().copied().zip(counts.copied()).filter(|(_, runs)| *runs > 0)
    }

    /// Every run that failed.
    pub(super) fn total(&self) -> u64 {
        self.iter().map(|(_, runs)| u64::from(runs)).sum()
    }

    /// As a row holds it: `timeout 3,other 1`.
    pub(super) fn encode(&self) -> String {
        let texts: Vec<String> =
            self.iter().map(|(reason, runs)| format!("{reason} {runs}")).collect();
        texts.join(",")
    }

    /// Reads what [`encode`](Self::encode) wrote. A reason that only a newer version knows counts as
    /// another one.
    pub(super) fn decode(text: &str) -> Self {
        let mut reasons = Self::default();
        for (name, runs) in text.split(',').filter_map(|one| one.split_once(' ')) {
            if let Ok(runs) = runs.parse() {
                let known = Reason::ALL.iter().copied().find(|reason| reason.as_str() == name);
                reasons.add(known.unwrap_or(Reason::Other), runs);
            }
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_as_they_were_written() {
        let mut reasons = Reasons::default();
        assert_eq!(reasons.encode(), "");
        for (reason, runs) in [(Reason::Other, 1), (Reason::Timeout, 2), (Reason::Timeout, 3)] {
            reasons.add(reason, runs);
        }
        reasons.add(Reason::LocalResource, 7);
        assert_eq!(reasons.encode(), "timeout 5,other 1");
        assert_eq!(Reasons::decode(&reasons.encode()), reasons);
        assert_eq!(reasons.total(), 6);
        assert_eq!(Reasons::decode(""), Reasons::default());
        assert_eq!(Reasons::decode("timeout x,nonsense"), Reasons::default());
    }

    #[test]
    fn a_reason_of_a_newer_version_counts_as_another_one() {
        assert_eq!(Reasons::decode("struck_by_lightning 2,other 1").encode(), "other 3");
    }
}
