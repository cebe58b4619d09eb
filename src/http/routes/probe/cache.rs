//! The plain answers of probes, each rendered once per change of the state.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::body::Bytes;
use axum::http::StatusCode;

use crate::model::Gate;

/// A plain answer as it was rendered under a number of the state's changes.
#[derive(Debug)]
pub(super) struct Rendered {
    changes: u64,
    pub(super) code: StatusCode,
    pub(super) body: Bytes,
}

/// The last plain answer of each gate, and of each group that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    gates: [ArcSwapOption<Rendered>; Gate::ALL.len()],
    groups: ArcSwap<HashMap<Box<str>, Arc<Rendered>>>,
}

impl Cache {
    /// The answer of `gate` under `changes`, made by `render` when the last one is older.
    pub(super) fn of_gate(
        &self,
        gate: Gate,
        changes: u64,
        render: impl FnOnce() -> (StatusCode, Bytes),
    ) -> Arc<Rendered> {
        let cached = &self.gates[gate as usize];
        cached.load_full().filter(|last| last.changes == changes).unwrap_or_else(|| {
            let (code, body) = render();
            let rendered = Arc::new(Rendered { changes, code, body });
            cached.store(Some(Arc::clone(&rendered)));
            rendered
        })
    }

    /// The answer of the group `name` under `changes`, made by `render` when the last one is older;
    /// `None` when there is no such group. Answers of groups that `is_group` does not know any more
    /// are forgotten.
    pub(super) fn of_group(
        &self,
        name: &str,
        changes: u64,
        is_group: impl Fn(&str) -> bool,
        render: impl FnOnce() -> Option<(StatusCode, Bytes)>,
    ) -> Option<Arc<Rendered>> {
        if let Some(last) = self.groups.load().get(name).filter(|last| last.changes == changes) {
            return Some(Arc::clone(last));
        }
        let (code, body) = render()?;
        let rendered = Arc::new(Rendered { changes, code, body });
        self.groups.rcu(|groups| {
            let mut groups = HashMap::clone(groups);
            groups.retain(|group, _| is_group(group));
            groups.insert(name.into(), Arc::clone(&rendered));
            groups
        });
        Some(rendered)
    }
}
