//! Labels added to every series (`Builder::metric_label`).

use std::collections::BTreeMap;

/// Labels by name. Values are not empty, because an empty label means no label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pairs: BTreeMap<String, String>,
    /// `a="b",c="d"`, prepared once for the metrics page.
    text: Box<str>,
}

impl Labels {
    pub(crate) fn new(pairs: BTreeMap<String, String>) -> Self {
        let text: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let text = text.join(",").into();
        Self { pairs, text }
    }

    /// As the metrics page shows them, without braces; empty if there are none.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.pairs.contains_key(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A label's value as it stands between quotes.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_in_order_and_escaped() {
        let pairs = [("zone", "a"), ("area", "\"\\\n")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let labels = Labels::new(pairs.into());
        assert_eq!(labels.text(), "area=\"\\\"\\\\\\n\",zone=\"a\"");
        assert!(labels.contains("zone") && !labels.contains("a"));
        assert_eq!(Labels::default().text(), "");
    }
}
