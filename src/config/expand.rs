//! `${NAME}` in the strings of a configuration.

use std::env::VarError;
use std::fmt;

/// Where the values of variables come from: by default the process's environment.
pub(super) struct Environment(Lookup);

type Lookup = Box<dyn Fn(&str) -> Result<String, VarError> + Send + Sync>;

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    pub(super) fn of_process() -> Self {
        Self::new(|name| std::env::var(name))
    }

    pub(super) fn new(
        lookup: impl Fn(&str) -> Result<String, VarError> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(lookup))
    }

    /// The variable's value; the error says what is wrong and what would be right.
    pub(super) fn get(&self, name: &str) -> Result<String, String> {
        match self.lookup(name) {
            Ok(value) => Ok(value),
            Err(VarError::NotPresent) => {
                Err(format!("the variable `{name}` is not set; set it in the environment"))
            }
            Err(VarError::NotUnicode(_)) => {
                Err(format!("the variable `{name}` is not UTF-8; set it to text"))
            }
        }
    }

    /// The variable's value, unless it is unset or empty.
    pub(super) fn non_empty(&self, name: &str) -> Option<String> {
        self.lookup(name).ok().filter(|value| !value.is_empty())
    }

    /// Treats a name that no environment can contain as unset, because looking it up may panic.
    fn lookup(&self, name: &str) -> Result<String, VarError> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(VarError::NotPresent);
        }
        (self.0)(name)
    }
}

/// Replaces `${NAME}` and `${NAME:-text}` once; `$${` is a literal `${`, any other `$` is itself.
pub(super) fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let tail = &rest[dollar..];
        if let Some(after) = tail.strip_prefix("$${") {
            expanded.push_str("${");
            rest = after;
        } else if let Some((reference, after)) = Reference::parse(tail) {
            expanded.push_str(&reference.resolve(environment)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = &tail[1..];
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// The reference at the start of `text`, and what follows it.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let (inner, after) = text.strip_prefix("${")?.split_once('}')?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let valid =
            name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
        valid.then_some((Self { name, default }, after))
    }

    fn resolve(&self, environment: &Environment) -> Result<String, String> {
        match self.default {
            Some(default) => {
                Ok(environment.non_empty(self.name).unwrap_or_else(|| default.to_owned()))
            }
            None => environment
                .get(self.name)
                .map_err(|wrong| format!("{wrong} or write ${{{}:-default}}", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let environment = Environment::new(|name| match name {
            "NAME" => Ok("value".into()),
            "NESTED" => Ok("${NAME}".into()),
            "EMPTY" => Ok(String::new()),
            _ => Err(VarError::NotPresent),
        });
        expand(text, &environment)
    }

    #[test]
    fn a_reference_is_replaced_once() {
        for (text, wanted) in [
            ("a ${NAME} b${NAME}", "a value bvalue"),
            ("${NESTED}", "${NAME}"),
            ("${EMPTY}", ""),
            ("${EMPTY:-text}", "text"),
            ("${UNSET:-}", ""),
            ("${UNSET:-a:-b $}", "a:-b $"),
            ("${NAME:-text}", "value"),
            ("$${NAME}", "${NAME}"),
            ("$$${NAME}", "$${NAME}"),
            ("$NAME $ $$ ${} ${1} ${a b} ${NAME", "$NAME $ $$ ${} ${1} ${a b} ${NAME"),
            ("${NÄME} ü$", "${NÄME} ü$"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        assert_eq!(
            expanded("x${UNSET}"),
            Err("the variable `UNSET` is not set; set it in the environment \
                 or write ${UNSET:-default}"
                .into())
        );
    }
}
