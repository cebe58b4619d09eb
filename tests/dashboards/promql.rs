//! As much of PromQL as tells which series a query asks for, and what becomes of them.

use std::collections::BTreeSet;

use regex::Regex;

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) selectors: Vec<Selector>,
    /// Labels that it groups or joins by.
    pub(super) grouped: BTreeSet<String>,
}

/// Series of one metric.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) matchers: Vec<Matcher>,
    /// What stands in brackets after it.
    pub(super) window: Option<String>,
    /// The function or aggregation right around it, if any.
    pub(super) function: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) operator: String,
    pub(super) value: String,
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 9] =
    ["and", "or", "unless", "bool", "offset", "atan2", "Inf", "NaN", "inf"];

/// Reads a query, which must be well formed: Prometheus tells in other tests whether it is.
pub(super) fn parse(query: &str) -> Names {
    let token = concat!(
        r#""(?:[^"\\]|\\.)*"|\[[^\]]*\]|"#,
        r"[A-Za-z_:][A-Za-z0-9_:]*|[0-9][0-9A-Za-z.]*|[=!]~|!=|\S"
    );
    let tokens: Vec<&str> =
        Regex::new(token).expect("a regex").find_iter(query).map(|found| found.as_str()).collect();
    let mut names = Names::default();
    // The function of each open parenthesis, and the one whose parenthesis is still to come.
    let (mut functions, mut coming) = (Vec::new(), "");
    let mut rest = tokens.as_slice();
    while let Some((&token, after)) = rest.split_first() {
        rest = after;
        match token {
            "(" => functions.push(std::mem::take(&mut coming)),
            ")" => drop(functions.pop()),
            // How long ago: a duration, or a variable that stands for one.
            "offset" => {
                rest = rest.strip_prefix(&["$"]).unwrap_or(rest);
                rest = rest.get(1..).unwrap_or_default();
            }
            _ if GROUPING.contains(&token) => {
                if rest.first() == Some(&"(") {
                    let (labels, after) = until(rest, ")");
                    names.grouped.extend(labels.iter().filter(|l| is_word(l)).map(|l| (*l).into()));
                    rest = after;
                }
            }
            _ if OPERATORS.contains(&token) || !is_word(token) => {}
            _ if rest.first().is_some_and(|next| *next == "(" || GROUPING.contains(next)) => {
                coming = token;
            }
            metric => {
                let function = functions.last().copied().unwrap_or_default();
                let (selector, after) = selector(metric, function, rest);
                names.selectors.push(selector);
                rest = after;
            }
        }
    }
    names
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
}

/// The tokens up to `end`, and those behind it.
fn until<'a, 'b>(tokens: &'b [&'a str], end: &str) -> (&'b [&'a str], &'b [&'a str]) {
    let at = tokens.iter().position(|token| *token == end).expect("it is closed");
    (&tokens[..at], &tokens[at + 1..])
}

fn selector<'a, 'b>(
    metric: &str,
    function: &str,
    mut rest: &'b [&'a str],
) -> (Selector, &'b [&'a str]) {
    let mut matchers = Vec::new();
    if rest.first() == Some(&"{") {
        let (inside, after) = until(&rest[1..], "}");
        for matcher in inside.split(|token| *token == ",").filter(|m| !m.is_empty()) {
            let [label, operator, value] = matcher else { panic!("no matcher: {matcher:?}") };
            matchers.push(Matcher {
                label: (*label).to_owned(),
                operator: (*operator).to_owned(),
                value: value.trim_matches('"').to_owned(),
            });
        }
        rest = after;
    }
    let window = rest.first().and_then(|token| token.strip_prefix('[')?.strip_suffix(']'));
    let rest = if window.is_some() { &rest[1..] } else { rest };
    let selector = Selector {
        metric: metric.to_owned(),
        matchers,
        window: window.map(str::to_owned),
        function: function.to_owned(),
    };
    (selector, rest)
}

/// The metrics that a query names, each with the function around it.
fn shape(query: &str) -> Vec<(String, String)> {
    parse(query).selectors.into_iter().map(|s| (s.function, s.metric)).collect()
}

#[test]
fn metrics_are_told_from_functions_labels_and_operators() {
    for (query, wanted) in [
        ("up", vec![("", "up")]),
        ("time() - max(a{x=\"up (y)\"})", vec![("max", "a")]),
        ("sum by (job, le) (rate(a_bucket[5m])) > bool 0.5", vec![("rate", "a_bucket")]),
        ("sum(rate(a[1m])) by (job)", vec![("rate", "a")]),
        ("a * on (x) group_left (y) b or vector(0)", vec![("", "a"), ("", "b")]),
        ("max by (x) (a{} * 2 or b)", vec![("max", "a"), ("max", "b")]),
        ("job:a:rate5m unless ignoring (x) b offset 1h", vec![("", "job:a:rate5m"), ("", "b")]),
        ("quantile(0.9, a) + 1e9 + Inf", vec![("quantile", "a")]),
    ] {
        let wanted: Vec<_> =
            wanted.into_iter().map(|(f, m)| (f.to_owned(), m.to_owned())).collect();
        assert_eq!(shape(query), wanted, "{query}");
    }
}

#[test]
fn matchers_windows_and_grouping_are_read() {
    let query =
        r#"sum by (job, to) (rate(a{job=~"$job", x!="b,}\"c",}[$__rate_interval])) and on (y) b"#;
    let names = parse(query);
    let grouped: Vec<_> = names.grouped.iter().map(String::as_str).collect();
    assert_eq!(grouped, ["job", "to", "y"]);
    let a = &names.selectors[0];
    assert_eq!((a.function.as_str(), a.window.as_deref()), ("rate", Some("$__rate_interval")));
    let matchers = a.matchers.iter().map(|m| (&*m.label, &*m.operator, &*m.value));
    let matchers: Vec<_> = matchers.collect();
    assert_eq!(matchers, [("job", "=~", "$job"), ("x", "!=", "b,}\\\"c")]);
    assert_eq!(names.selectors[1].window, None);
}
