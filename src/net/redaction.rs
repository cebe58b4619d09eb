//! Keeps secrets out of what a peer has a say in.

use crate::config::Secret;

/// Characters of a server's text shown at most.
const MAX_TEXT: usize = 300;

/// Texts that no message may show: what a server says is passed on, and it might repeat what it
/// was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redaction(Vec<Secret>);

impl Redaction {
    /// Hides `secrets` from every message.
    pub(crate) fn of(secrets: impl IntoIterator<Item = String>) -> Self {
        Self(secrets.into_iter().filter(|s| !s.is_empty()).map(Secret::new).collect())
    }

    /// `text` in one line, bounded and without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.replace(|c: char| c.is_control(), " ");
        for secret in &self.0 {
            text = text.replace(secret.expose(), "[secret]");
        }
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
    fn a_long_text_is_cut_between_characters() {
        let cut = Redaction::default().clean(&"é".repeat(MAX_TEXT + 1));
        assert_eq!(cut.chars().count(), MAX_TEXT + 1);
        assert!(cut.ends_with('…'));
    }
}
