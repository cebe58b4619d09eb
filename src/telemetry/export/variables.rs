//! Reading the variables of the environment: what is set, of which form, and what is wrong.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

/// One thing wrong with a variable or a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable or the setting's name.
    pub name: &'static str,
    /// `what is wrong; what would be right`, without any secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// Reads variables and gathers what is wrong with them.
pub(in crate::telemetry) struct Reader<'a> {
    pub(in crate::telemetry) env: &'a dyn Fn(&str) -> Option<String>,
    pub(in crate::telemetry) problems: Vec<Problem>,
}
impl Reader<'_> {
    pub(in crate::telemetry) fn get(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The first of `names` that is set.
    pub(in crate::telemetry) fn first(
        &self,
        names: [&'static str; 2],
    ) -> Option<(&'static str, String)> {
        names.into_iter().find_map(|name| Some((name, self.get(name)?)))
    }

    pub(in crate::telemetry) fn problem(&mut self, name: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { name, message: message.into() });
    }

    pub(in crate::telemetry) fn unsupported(
        &mut self,
        name: &'static str,
        value: &str,
        right: &str,
    ) {
        self.problem(name, format!("{value:?} is not supported; use {right}"));
    }

    pub(super) fn switch(&mut self, name: &'static str) -> bool {
        self.switch_of(self.get(name).map(|value| (name, value)))
    }

    pub(in crate::telemetry) fn switch_of(
        &mut self,
        variable: Option<(&'static str, String)>,
    ) -> bool {
        match variable {
            None => false,
            Some((_, value)) if value.eq_ignore_ascii_case("true") => true,
            Some((_, value)) if value.eq_ignore_ascii_case("false") => false,
            Some((name, value)) => {
                self.unsupported(name, &value, "true or false");
                false
            }
        }
    }

    /// A whole number above zero.
    pub(super) fn number(&mut self, name: &'static str) -> Option<u32> {
        self.number_of(name, &self.get(name)?)
    }

    pub(in crate::telemetry) fn number_of(
        &mut self,
        name: &'static str,
        value: &str,
    ) -> Option<u32> {
        let number = value.parse().ok().filter(|number| *number > 0);
        if number.is_none() {
            let what = if name.ends_with("TIMEOUT") {
                "a number of milliseconds above zero, such as 5000"
            } else {
                "a whole number above zero"
            };
            self.unsupported(name, value, what);
        }
        number
    }

    /// A time in milliseconds, where zero is one too.
    pub(super) fn millis_or_zero(&mut self, name: &'static str) -> Option<Duration> {
        let value = self.get(name)?;
        let millis = value.parse().ok().map(Duration::from_millis);
        if millis.is_none() {
            self.unsupported(name, &value, "a number of milliseconds, such as 5000");
        }
        millis
    }
}

/// The pairs of `key=value,key=value`, values percent-decoded, or the number of the bad entry.
pub(in crate::telemetry) fn pairs(text: &str) -> Result<Vec<(String, String)>, usize> {
    let entries = text.split(',').map(str::trim).enumerate();
    entries
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(index, entry)| {
            let (key, value) = entry.split_once('=').ok_or(index + 1)?;
            let decode = |part: &str| {
                let decoded = percent_decode_str(part.trim()).decode_utf8();
                decoded.map(std::borrow::Cow::into_owned).map_err(|_| index + 1)
            };
            let key = decode(key)?;
            if key.is_empty() { Err(index + 1) } else { Ok((key, decode(value)?)) }
        })
        .collect()
}

pub(in crate::telemetry) fn bad_pair(entry: usize) -> String {
    format!("entry {entry} is no pair; use key=value,key=value with special characters as %XX")
}
