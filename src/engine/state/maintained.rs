//! The set of checks that are in maintenance now, by name.

use std::collections::BTreeSet;

/// A set of checks: every one, or those of some names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Maintained {
    all: bool,
    names: BTreeSet<String>,
}

impl Maintained {
    /// Adds the checks of these names, or every one.
    #[cfg(feature = "maintenance")]
    pub(crate) fn add<'a>(&mut self, names: Option<impl Iterator<Item = &'a str>>) {
        match names {
            Some(names) => self.names.extend(names.map(str::to_owned)),
            None => self.all = true,
        }
    }

    /// Whether the check of this name is in it.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }

    /// Names in exactly one of the two sets; `None` if one set is "all checks" and the other is
    /// not, so that any check may differ.
    #[cfg(feature = "maintenance")]
    pub(crate) fn difference<'a>(
        &'a self,
        other: &'a Self,
    ) -> Option<impl Iterator<Item = &'a str>> {
        (self.all == other.all)
            .then(|| self.names.symmetric_difference(&other.names).map(String::as_str))
    }
}
