//! Validates `depends_on`: the checks must exist, and there must be no cycle.

use std::collections::HashMap;

use crate::engine::check::cycles;

use super::checks::PartialCheck;
use super::diagnostics::Report;
use super::rules;

/// Reports unknown checks in `depends_on`, and every cycle, which it prints.
pub(super) fn check(drafts: &[PartialCheck], report: &mut Report) {
    let names: Vec<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    for draft in drafts {
        for (index, name) in draft.depends_on.iter().enumerate() {
            let path = format!("depends_on[{index}]");
            rules::unknown_check(name, &path, &names, &draft.node, report);
        }
    }
    for cycle in cycles(&edges(drafts)) {
        let Some(draft) = cycle.first().and_then(|first| drafts.get(*first)) else { continue };
        let next = cycle.get(1).or(cycle.first()).and_then(|next| drafts.get(*next));
        let index = draft.depends_on.iter().position(|d| Some(d) == next.map(|n| &n.name));
        let circle: Vec<&str> =
            cycle.iter().chain(cycle.first()).map(|i| drafts[*i].name.as_str()).collect();
        let path = format!("depends_on[{}]", index.unwrap_or(0));
        let message = format!("a cycle, {}; remove one of these", circle.join(" -> "));
        report.option(&draft.node, &path, message);
    }
}

/// What each draft depends on, by position. Drafts are sorted by name.
fn edges(drafts: &[PartialCheck]) -> Vec<Vec<usize>> {
    let index: HashMap<&str, usize> =
        drafts.iter().enumerate().map(|(i, draft)| (draft.name.as_str(), i)).collect();
    drafts
        .iter()
        .map(|d| d.depends_on.iter().filter_map(|n| index.get(n.as_str()).copied()).collect())
        .collect()
}
