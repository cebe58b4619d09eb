//! Configurations that are no configurations: no text makes the loader panic or tell a secret.

#![allow(clippy::expect_used, reason = "a helper fails a test as its own lines do")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::configuration::{FOLDER, HIDDEN, errors, parse};

/// A valid configuration without files, so that a changed one reads none either.
fn mutable() -> String {
    let text = fs::read_to_string(Path::new(FOLDER).join("valid/full.toml")).expect("text");
    text.split_inclusive('\n').filter(|line| !line.contains("files =")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn arbitrary_toml_never_panics(
        text in "(\\[{1,2}(server|checks\\.[a-c]|defaults|x)\\]{1,2}\n|\
                  (kind|url|interval|gates|a\\.b|\"\") ?= ?(\"sample\"|\"\\$\\{URL\\}\"|1|true|\\[|\\]|\\{|1979-05-27|\\{ ?file = \"x\" ?\\})\n){0,12}"
    ) {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_configuration_never_panics_and_every_error_has_a_place(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..20, ".{0,4}"), 1..4)
    ) {
        let mut text: Vec<char> = mutable().chars().collect();
        for (index, length, insert) in damage {
            let start = index.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text) {
            let lines = text.split('\n').count();
            prop_assert!(!error.diagnostics().is_empty());
            prop_assert!(!error.to_string().contains(HIDDEN));
            for found in error.diagnostics() {
                prop_assert!((1..=lines).contains(&found.line) && found.column >= 1, "{found}");
                prop_assert!(found.message.contains("; ") || found.message.ends_with('?'), "{found}");
            }
        }
    }
}

#[test]
fn the_undamaged_configuration_of_that_test_is_valid_but_for_its_files() {
    let found = errors(&mutable());
    assert!(found.iter().all(|line| line.contains("cannot read")), "{found:?}");
}
