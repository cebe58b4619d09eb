//! Writes rules as the YAML that Prometheus reads.
//!
//! The shape is fixed, so that no general writer is needed: every text is either an expression,
//! which stands in a block, or is quoted.

use std::fmt::{self, Write as _};

use super::scope::period;
use super::{Alert, Group, Recording, Rule, Rules};

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.title.lines() {
            writeln!(f, "# {line}")?;
        }
        writeln!(f, "groups:")?;
        self.groups.iter().try_for_each(|group| write_group(f, group))
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, group: &Group) -> fmt::Result {
    writeln!(f, "  - name: {}", quoted(&group.name))?;
    if let Some(interval) = group.interval {
        writeln!(f, "    interval: {}", period(interval))?;
    }
    writeln!(f, "    rules:")?;
    group.rules.iter().try_for_each(|rule| match rule {
        Rule::Recording(recording) => write_recording(f, recording),
        Rule::Alert(alert) => write_alert(f, alert),
    })
}

fn write_recording(f: &mut fmt::Formatter<'_>, rule: &Recording) -> fmt::Result {
    writeln!(f, "      - record: {}", rule.record)?;
    write_expression(f, &rule.expr)
}

fn write_alert(f: &mut fmt::Formatter<'_>, rule: &Alert) -> fmt::Result {
    writeln!(f, "      - alert: {}", rule.alert)?;
    write_expression(f, &rule.expr)?;
    writeln!(f, "        for: {}", period(rule.pending))?;
    for (title, texts) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
        writeln!(f, "        {title}:")?;
        for (key, text) in texts {
            writeln!(f, "          {}: {}", key_of(key), quoted(text))?;
        }
    }
    Ok(())
}

fn write_expression(f: &mut fmt::Formatter<'_>, expression: &str) -> fmt::Result {
    writeln!(f, "        expr: |-")?;
    expression.lines().try_for_each(|line| writeln!(f, "          {line}"))
}

/// A key: words that YAML may take for something else, such as `on`, are quoted.
fn key_of(key: &str) -> String {
    const PLAIN: [&str; 8] = [
        "severity",
        "check",
        "summary",
        "description",
        "runbook_url",
        "dashboard_url",
        "page_url",
        "incident_url",
    ];
    if PLAIN.contains(&key) { key.to_owned() } else { quoted(key) }
}

/// A text in double quotes, whatever it holds.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            // What YAML forbids in a stream, takes for a line break, or drops.
            c if c.is_control() || "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}".contains(c) => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_quotes() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("a\nb: c\u{0}\u{85}\u{2028}"), "\"a\\nb: c\\u0000\\u0085\\u2028\"");
        assert_eq!(quoted("ü # 5 %"), "\"ü # 5 %\"");
    }

    #[test]
    fn a_key_cannot_be_taken_for_something_else() {
        assert_eq!(key_of("severity"), "severity");
        assert_eq!(key_of("on"), "\"on\"");
        assert_eq!(key_of("null"), "\"null\"");
    }
}
