//! Cycles among checks that depend on each other.

/// The cycles of a graph by their members, each beginning with its smallest; `edges` names for
/// each node those that it depends on.
pub(crate) fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    let mut marks = vec![Mark::New; edges.len()];
    for start in 0..edges.len() {
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
