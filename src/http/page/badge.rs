//! The badge: a check's status as a small SVG image, to embed elsewhere.

use askama::Template;

use super::assets::colour;
use crate::model::Status;

/// The picture of one status.
#[derive(Template)]
#[template(path = "badge.svg", escape = "html")]
pub(super) struct Badge<'a> {
    name: &'a str,
    status: Status,
    colour: &'static str,
    left: usize,
    right: usize,
}

impl<'a> Badge<'a> {
    pub(super) fn new(name: &'a str, status: Status) -> Self {
        let (left, right) = (width(name), width(status.as_str()));
        Self { name, status, colour: colour(status), left, right }
    }

    fn total(&self) -> usize {
        self.left + self.right + 4 * PADDING
    }
}

/// Space before and after a text.
const PADDING: usize = 7;

/// About the width of a text in the picture's font; it is then drawn in exactly that.
fn width(text: &str) -> usize {
    let tenths = |letter: char| match letter {
        'i' | 'j' | 'l' | 'I' | '.' | '-' => 34,
        'f' | 't' | 'r' => 44,
        'm' | 'w' => 98,
        _ => 68,
    };
    text.chars().map(tenths).sum::<usize>().div_ceil(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_the_status_in_words_and_in_colour() {
        for status in Status::ALL {
            let badge = Badge::new("orders-db", *status).render().expect("a picture");
            let label = format!("aria-label=\"orders-db: {status}\"");
            assert!(badge.starts_with("<svg ") && badge.contains(&label), "{badge}");
            assert!(badge.contains(colour(*status)), "{badge}");
        }
        assert_ne!(colour(Status::Up), colour(Status::Down));
    }

    #[test]
    fn a_longer_name_makes_a_wider_picture() {
        let total = |name| Badge::new(name, Status::Up).total();
        assert!(total("orders-db-replica-of-the-north") > total("db") + 100);
    }
}
