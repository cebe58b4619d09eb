//! Groups of checks: named like checks, and like no check.

use crate::engine::check::{MAX_NAME, has_name_form};

use super::checks::PartialCheck;
use super::diagnostics::Report;

/// Reports names that no group may have.
pub(super) fn check(drafts: &[PartialCheck], report: &mut Report) {
    let is_check = |name: &String| drafts.binary_search_by(|d| d.name.cmp(name)).is_ok();
    for draft in drafts {
        for (index, name) in draft.groups.iter().enumerate() {
            let path = format!("groups[{index}]");
            if draft.node.locate(&path).0.poisoned {
                continue;
            }
            if !has_name_form(name) {
                let message = format!(
                    "not the name of a group; write 1 to {MAX_NAME} of a-z, 0-9, `_` and `-`, \
                     beginning with a letter or digit"
                );
                report.option(&draft.node, &path, message);
            } else if is_check(name) {
                let message = "a check has this name; give the group another one";
                report.option(&draft.node, &path, message);
            }
        }
    }
}
