//! Keeps secrets out of what a peer says.

use std::cmp::Reverse;

use super::Secret;

/// Stands for a whole text that holds a short secret.
const WITHHELD: &str = "(withheld, as it holds a secret of less than four characters)";

/// Characters of a peer's text shown at most.
const MAX_TEXT: usize = 300;

/// Texts that no message may show. Messages pass on what a server says, and it might repeat what
/// it was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redaction(Vec<Secret>);

impl Redaction {
    /// Hides `secrets` from every message.
    pub(crate) fn of(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|s| !s.is_empty()).collect();
        // The longest first: one that is a part of another would leave the rest of that in the text.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Self(secrets.into_iter().map(Secret::new).collect())
    }

    /// `text` on one line, bounded and without secrets: a long secret is cut out, and a text that
    /// holds a short one is withheld as a whole.
    pub(crate) fn clean(&self, text: &str) -> String {
        if self.0.iter().any(|secret| secret.is_too_short() && text.contains(secret.expose())) {
            return WITHHELD.to_owned();
        }
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.expose(), "[secret]");
        }
        // After the secrets, which may hold such characters.
        let text = text.replace(|c: char| c.is_control(), " ");
        match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        let redaction = Redaction::of(["hunter2".to_owned(), String::new()]);
        assert_eq!(redaction.clean("no hunter2\nhere"), "no [secret] here");
        assert_eq!(format!("{redaction:?}"), "Redaction([[secret]])");
    }

    #[test]
    fn a_text_that_holds_a_short_secret_is_withheld_as_a_whole() {
        for secret in ["e", "wr", "d 3", "ü"] {
            let redaction = Redaction::of([secret.to_owned()]);
            let clean = redaction.clean("WRONGPASS wrong password 3 für e");
            assert_eq!(clean, WITHHELD, "{secret}");
            assert_eq!(redaction.clean("no"), "no", "{secret}");
        }
        let both = Redaction::of(["hunter2".to_owned(), "x".to_owned()]);
        assert_eq!(both.clean("no hunter2"), "no [secret]");
        assert_eq!(both.clean("no hunter2 in x"), WITHHELD);
    }

    #[test]
    fn nothing_is_left_of_a_secret_that_holds_another_or_a_control_character() {
        let redaction = Redaction::of(["hunt", "hunter2", "ter2", "tab\there"].map(str::to_owned));
        let clean = redaction.clean("hunter2, hunt, ter2, tab\there");
        assert_eq!(clean, "[secret], [secret], [secret], [secret]");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let cut = Redaction::default().clean(&"é".repeat(MAX_TEXT + 1));
        assert_eq!(cut.chars().count(), MAX_TEXT + 1);
        assert!(cut.ends_with('…'));
    }
}
