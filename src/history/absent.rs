//! Stand-ins for a build without the feature `history`; they are never constructed.

use std::convert::Infallible;
use std::sync::Arc;

use crate::model::Transition;

/// No history.
#[derive(Debug, Clone)]
pub(crate) enum History {}

/// Stand-in for a recorded status change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) check: Arc<str>,
    pub(crate) transition: Transition,
}

impl History {
    pub(crate) async fn changes_after(&self, _: u64, _: usize) -> Result<Vec<Change>, Infallible> {
        match *self {}
    }

    pub(crate) async fn written(&self) {
        match *self {}
    }
}
