//! Removes arguments and variables of a program from the shown part of its output.

/// Shorter texts are not treated as secrets: hiding them would make every message unreadable.
const SHORTEST: usize = 4;

/// Longest line shown, in characters.
const LONGEST: usize = 200;

/// Texts that a message must not show, each with its replacement, the longest first.
#[derive(Default)]
pub(super) struct Hidden(Vec<(String, String)>);

/// The first line of a program's output, perhaps without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// Whether the line was longer.
    pub(super) cut: bool,
}

impl Hidden {
    /// Hides these arguments and the values of these variables, each line of them.
    pub(super) fn of(args: &[String], env: &[(String, String)]) -> Self {
        let mut texts = Vec::new();
        let mut hide = |text: &str, name: &str| {
            let lines = text.lines().map(str::trim).chain([text]);
            let long = lines.filter(|line| line.chars().count() >= SHORTEST);
            texts.extend(long.map(|line| (line.to_owned(), format!("<{name}>"))));
        };
        for (n, arg) in args.iter().enumerate() {
            hide(arg, &format!("args[{n}]"));
            // `--password=…`: the output may contain the value without the option.
            if let Some((_, value)) = arg.split_once('=') {
                hide(value, &format!("args[{n}]"));
            }
        }
        for (name, value) in env {
            hide(value, &format!("env.{name}"));
        }
        texts.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then(one.cmp(other)));
        Self(texts)
    }

    /// What may be shown of `line`, on one line and cut to a length that suits a message.
    pub(super) fn hide(&self, line: &Line) -> String {
        let mut text = String::from_utf8_lossy(&line.text).into_owned();
        if line.cut {
            text.truncate(text.len() - self.begun_at_the_end_of(&text));
        }
        for (hidden, instead) in &self.0 {
            if text.contains(hidden) {
                text = text.replace(hidden, instead);
            }
        }
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut shown: String = text.trim().chars().take(LONGEST).collect();
        if text.trim().chars().nth(LONGEST).is_some() || line.cut {
            shown.push('…');
        }
        shown
    }

    /// How many bytes at the end of `text` may be the start of a hidden text.
    fn begun_at_the_end_of(&self, text: &str) -> usize {
        let begun = |hidden: &str| {
            let starts = hidden.char_indices().map(|(at, _)| at).skip(1).chain([hidden.len()]);
            starts.filter(|at| text.ends_with(&hidden[..*at])).max().unwrap_or(0)
        };
        self.0.iter().map(|(hidden, _)| begun(hidden)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hidden() -> Hidden {
        let args = ["-p", "--key=hunter2hunter2", "/data"].map(str::to_owned);
        let env = [("PASSWORD", "hunter2"), ("PEM", "begin\nmiddle\nend")];
        Hidden::of(&args, &env.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn shown(text: &str) -> String {
        hidden().hide(&Line { text: text.into(), cut: false })
    }

    #[test]
    fn what_was_given_is_shown_by_its_name() {
        assert_eq!(shown("wrong password hunter2 for -p"), "wrong password <env.PASSWORD> for -p");
        assert_eq!(shown("--key=hunter2hunter2?"), "<args[1]>?");
        assert_eq!(shown("hunter2hunter2 in /data/x"), "<args[1]> in <args[2]>/x");
        assert_eq!(shown("middle of it, the end"), "<env.PEM> of it, the end");
    }

    #[test]
    fn a_long_or_odd_line_becomes_a_short_and_plain_one() {
        assert_eq!(shown(" \x1b[31mred\t "), "[31mred");
        assert_eq!(shown(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
        let lossy = hidden().hide(&Line { text: b"a\xffb".to_vec(), cut: false });
        assert_eq!(lossy, "a\u{fffd}b");
    }

    #[test]
    fn a_secret_that_is_cut_off_does_not_show_either() {
        let cut = |text: &str| hidden().hide(&Line { text: text.into(), cut: true });
        assert_eq!(cut("is it hunt"), "is it…");
        assert_eq!(cut("is it hunter2hunt"), "is it…");
        assert_eq!(cut("is it h"), "is it…");
        assert_eq!(cut("is it"), "is it…");
    }

    proptest! {
        #[test]
        fn nothing_hidden_shows_wherever_it_is_cut(
            before in "[a-z ]{0,20}", secret in "[a-z0-9é]{4,12}", after in "[a-z]{0,3}", at in 0..40usize,
        ) {
            let hidden = Hidden::of(&[], &[("X".to_owned(), secret.clone())]);
            let whole = format!("{before}{secret}{after}");
            let end = whole.floor_char_boundary(at.min(whole.len()));
            let line = Line { text: whole[..end].into(), cut: end < whole.len() };
            let shown = hidden.hide(&line).replace("<env.X>", "");
            prop_assert!(!shown.contains(&secret), "{shown}");
        }
    }
}
