//! Finds the paths within a crate that a Rust file names, without compiling it.

/// A path from the crate's root that a file names.
pub(super) struct Import {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// Every path that `text`, the file of `module`, starts with `crate`, `self` or `super`.
pub(super) fn imports(module: &[String], text: &str) -> Vec<Import> {
    imports_with(module, text, &[])
}

/// The modules that `text` declares in files of their own.
pub(super) fn imports_of_children(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let declared = tokens.windows(3).filter(|three| three[0].text == "mod" && three[2].text == ";");
    declared.map(|three| three[1].text.to_owned()).collect()
}

/// The same, and the paths that start with one of the `children` of the module.
pub(super) fn imports_with(module: &[String], text: &str, children: &[String]) -> Vec<Import> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut depth = 0;
    // Modules within the file, with the depth of the braces around them.
    let mut inner: Vec<(&str, usize)> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    inner.push((tokens[at - 1].text, depth));
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inner.pop_if(|(_, around)| *around == depth);
            }
            name if tokens.get(at + 1).is_some_and(|t| t.text == "::")
                && (matches!(name, "crate" | "self" | "super")
                    || (children.iter().any(|child| child == name)
                        && !(at > 0 && tokens[at - 1].text == "::"))) =>
            {
                let names = inner.iter().map(|(name, _)| (*name).to_owned());
                let here: Vec<String> = module.iter().cloned().chain(names).collect();
                at = tree(&tokens, at, &here, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads the path or the tree of paths that starts at `at`, each continuing `base`; returns where
/// it ends.
fn tree(tokens: &[Token<'_>], mut at: usize, base: &[String], found: &mut Vec<Import>) -> usize {
    let mut path = base.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.get(at) {
        line = token.line;
        match token.text {
            "crate" => path.clear(),
            "self" => {}
            "super" => drop(path.pop()),
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t.text != "}") {
                    at = tree(tokens, at, &path, found);
                    // Whatever stands between two of a list, such as `as Name`.
                    while tokens.get(at).is_some_and(|t| !matches!(t.text, "," | "}")) {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|t| t.text == ","));
                }
                return at + 1;
            }
            name => path.push(name.to_owned()),
        }
        at += 1;
        if tokens.get(at).is_none_or(|t| t.text != "::") {
            break;
        }
        at += 1;
    }
    found.push(Import { path, line });
    at
}

struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Words, `::` and single signs, without comments, texts and characters.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = token(rest, first);
        if kept {
            tokens.push(Token { text: &rest[..length], line });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Length of what `rest` starts with, and whether it is a token.
fn token(rest: &str, first: char) -> (usize, bool) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (comment(rest), false);
    }
    if let Some(length) = raw_text(rest) {
        return (length, false);
    }
    match first {
        '"' => (quoted(rest, '"'), false),
        // A character, not a lifetime: it is escaped, or ends after one.
        '\'' if rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'') => {
            (quoted(rest, '\''), false)
        }
        c if word(c) => (rest.find(|c| !word(c)).unwrap_or(rest.len()), true),
        _ if rest.starts_with("::") => (2, true),
        c => (c.len_utf8(), !c.is_whitespace()),
    }
}

/// Length of the comment that `rest` starts with; comments nest.
fn comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of the raw text, such as `r#"…"#`, that `rest` starts with.
fn raw_text(rest: &str) -> Option<usize> {
    let open = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = open.len() - open.trim_start_matches('#').len();
    let body = open[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(rest.len() - body.len() + end)
}

/// Length of the text in `quote`s that `rest` starts with.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
