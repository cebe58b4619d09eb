//! Validates the names of checks and labels.

/// Names that routes under `/status/` already answer to.
pub(crate) const RESERVED_NAMES: [&str; 2] = ["status", "incidents"];

/// Labels that `health_check_info` has of its own.
pub(crate) const RESERVED_LABELS: [&str; 5] =
    ["check", "kind", "gates", "server_address", "server_port"];

/// Longest name of a check.
pub(crate) const MAX_NAME: usize = 63;

/// Whether `name` has the form of a check's: `[a-z0-9][a-z0-9_-]{0,62}`.
pub(crate) fn has_name_form(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c == '_' || c == '-')
}

/// Whether `kind` has the form of a kind's name: `[a-z][a-z0-9_]{0,62}`.
pub(crate) fn has_kind_form(kind: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    kind.len() <= MAX_NAME
        && kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind.chars().all(plain)
}

/// Whether `label` has the form of a Prometheus label: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub(crate) fn has_label_form(label: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    label.starts_with(letter) && label.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Whether `label` is taken by Prometheus or by a series of ours.
pub(crate) fn is_reserved_label(label: &str) -> bool {
    label.starts_with("__") || RESERVED_LABELS.contains(&label)
}

/// Whether a check may be called `name`.
#[must_use]
pub fn is_check_name(name: &str) -> bool {
    has_name_form(name) && !RESERVED_NAMES.contains(&name)
}

/// Whether `label` may be a label of `health_check_info` beside its own.
#[must_use]
pub fn is_label_name(label: &str) -> bool {
    has_label_form(label) && !is_reserved_label(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["db", "0", "orders-db_2", &"a".repeat(63)] {
            assert!(is_check_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "Db", "a.b", "a b", "ä", "status", "incidents", &"a".repeat(64)]
        {
            assert!(!is_check_name(bad), "{bad}");
        }
    }

    #[test]
    fn labels_are_those_of_prometheus_and_not_taken() {
        for good in ["team", "_x", "A1"] {
            assert!(is_label_name(good), "{good}");
        }
        for bad in ["", "1a", "a-b", "ä", "__x", "check", "server_port"] {
            assert!(!is_label_name(bad), "{bad}");
        }
    }
}
