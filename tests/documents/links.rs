//! Links between the pages of this repository: each leads to a file that exists, and an anchor in a
//! link to a heading of that page. Links to other hosts are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Pages by their path.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md"), root.join("CHANGELOG.md"), root.join("docs")];
    let mut pages = BTreeMap::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|end| end == "md") {
            let text = std::fs::read_to_string(&path).expect("a page");
            pages.insert(path, without_code(&text));
        }
    }
    pages
}

/// The text without its blocks of code.
fn without_code(text: &str) -> String {
    let mut within = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        within ^= fence;
        !within && !fence
    });
    prose.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page's headings, by GitHub's rule.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut seen = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let anchor = heading.chars().filter(kept).collect::<String>().replace(' ', "-");
        let repeated: &mut usize = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *repeated == 0 { anchor } else { format!("{anchor}-{repeated}") });
        *repeated += 1;
    }
    anchors
}

/// The targets of the links in a page, those of other hosts left out.
fn links(page: &str) -> Vec<String> {
    let code = regex::Regex::new("`[^`\n]*`").expect("a regex");
    let link = regex::Regex::new(r"\]\(([^)]*)\)").expect("a regex");
    let prose = code.replace_all(page, "");
    let targets = link.captures_iter(&prose).map(|found| found[1].to_owned());
    targets.filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<_, _> = pages.iter().map(|(path, page)| (path, anchors(page))).collect();
    let (mut dead, mut followed) = (Vec::new(), 0);
    for (path, page) in &pages {
        for target in links(page) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = path.parent().expect("a folder");
            let linked = if file.is_empty() { path.clone() } else { folder.join(file) };
            let known = linked.canonicalize().is_ok_and(|linked| {
                anchor.is_empty() || anchors.get(&linked).is_some_and(|all| all.contains(anchor))
            });
            followed += 1;
            if !known || target.contains(' ') {
                dead.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(followed > 100, "only {followed} links were found");
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let page = without_code("# `/status` and `/x/{y}`\n## A b\n```sh\n# no heading\n```\n## A b");
    let expected = ["a-b", "a-b-1", "status-and-xy"].map(str::to_owned);
    assert_eq!(anchors(&page), BTreeSet::from(expected));
}
