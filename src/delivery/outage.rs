//! One log line when deliveries begin to fail, and one when they succeed again.

/// Whether deliveries fail at present, and what was lost since they do.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    lost: Option<u64>,
}

impl Outage {
    /// Records a failure that lost `items`; `true` when it is the first one in a row.
    pub(crate) fn failed(&mut self, items: u64) -> bool {
        let first = self.lost.is_none();
        *self.lost.get_or_insert(0) += items;
        first
    }

    /// Records a success; the items lost before it, when it is the first one in a row.
    pub(crate) fn succeeded(&mut self) -> Option<u64> {
        self.lost.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_state_is_reported() {
        let mut outage = Outage::default();
        assert_eq!(outage.succeeded(), None);
        assert!(outage.failed(2));
        assert!(!outage.failed(3));
        assert_eq!(outage.succeeded(), Some(5));
        assert_eq!(outage.succeeded(), None);
        assert!(outage.failed(0));
    }
}
