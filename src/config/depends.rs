//! Dependencies among checks: known, and without a cycle.

use std::collections::HashMap;

use super::checks::Draft;
use super::diagnostics::Report;
use super::rules;

/// Reports unknown checks in `depends_on`, and every cycle, which it prints.
pub(super) fn check(drafts: &[Draft], report: &mut Report) {
    let names: Vec<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    for draft in drafts {
        for (index, name) in draft.depends_on.iter().enumerate() {
            let path = format!("depends_on[{index}]");
            rules::unknown_check(name, &path, &names, &draft.node, report);
        }
    }
    for cycle in cycles(drafts) {
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

/// Cycles by their members, each beginning with its first name. Drafts are sorted by name.
fn cycles(drafts: &[Draft]) -> Vec<Vec<usize>> {
    let index: HashMap<&str, usize> =
        drafts.iter().enumerate().map(|(i, draft)| (draft.name.as_str(), i)).collect();
    let edges: Vec<Vec<usize>> = drafts
        .iter()
        .map(|d| d.depends_on.iter().filter_map(|n| index.get(n.as_str()).copied()).collect())
        .collect();
    let mut found = Vec::new();
    let mut marks = vec![Mark::New; drafts.len()];
    for start in 0..drafts.len() {
        // The path walked so far, with the next edge to take from each of its members: a chain of
        // checks may be longer than the stack is deep.
        let mut walk: Vec<(usize, usize)> = Vec::new();
        if marks[start] == Mark::New {
            marks[start] = Mark::Walked;
            walk.push((start, 0));
        }
        while let Some((at, edge)) = walk.last_mut() {
            let Some(next) = edges[*at].get(*edge).copied() else {
                marks[*at] = Mark::Done;
                walk.pop();
                continue;
            };
            *edge += 1;
            match marks[next] {
                Mark::Done => {}
                Mark::New => {
                    marks[next] = Mark::Walked;
                    walk.push((next, 0));
                }
                Mark::Walked => {
                    let members = walk.iter().map(|(member, _)| *member);
                    let mut cycle: Vec<usize> = members.skip_while(|m| *m != next).collect();
                    let first = (0..cycle.len()).min_by_key(|i| cycle[*i]).unwrap_or(0);
                    cycle.rotate_left(first);
                    if !found.contains(&cycle) {
                        found.push(cycle);
                    }
                }
            }
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Walked,
    Done,
}
