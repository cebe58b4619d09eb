//! Names that a host gives at run time, to phases and figures.
//!
//! A name becomes a label or a metric, and lives as long as the process. So there is a bound on how
//! many there are: a name made of user input would otherwise grow without end.

use std::sync::{Mutex, PoisonError};

use super::check::Measurement;
use super::phase::{Phase, PhaseName};

/// Most names of phases, and of figures, that a process may give.
const MOST: usize = 256;

/// Longest name.
const LONGEST: usize = 63;

/// Why a phase or a figure cannot have a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has another form than it must have.
    #[error("`{0}` is no name of a phase or a figure; it must match [a-z][a-z0-9_]{{0,62}}")]
    Form(String),
    /// The process has given as many names as it may.
    #[error(
        "`{0}` is one name too many: a process may give {MOST} to phases, and as many to figures"
    )]
    TooMany(String),
}

/// The unit of a figure that is named at run time: the end of its name, by Prometheus' rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// None, such as of messages that wait.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, from 0 to 1.
    Ratio,
}

impl Unit {
    /// What a name ends with.
    const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "_seconds",
            Self::Bytes => "_bytes",
            Self::Ratio => "_ratio",
        }
    }
}

static PHASES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
static FIGURES: Mutex<Vec<&'static Measurement>> = Mutex::new(Vec::new());

impl Phase {
    /// A phase of the host's own name, such as `parse`: `[a-z][a-z0-9_]{0,62}`.
    ///
    /// The same name is the same phase. A name of the built-in ones is that one. At most 256 names
    /// may be given in a process: each becomes a series of `health_check_phase_duration_seconds`.
    ///
    /// ```
    /// # use vitalsign::Phase;
    /// assert_eq!(Phase::named("parse")?.as_str(), "parse");
    /// assert_eq!(Phase::named("connect")?, Phase::Connect);
    /// assert!(Phase::named("Parse!").is_err());
    /// # Ok::<(), vitalsign::NameError>(())
    /// ```
    ///
    /// # Errors
    /// [`NameError`] for a name of another form, and for one too many.
    pub fn named(name: &str) -> Result<Self, NameError> {
        if let Some(known) = Self::ALL.iter().find(|phase| phase.as_str() == name) {
            return Ok(*known);
        }
        check_form(name)?;
        let found = |known: &&str| *known == name;
        let leaked = || &*Box::leak(name.to_owned().into_boxed_str());
        find_or_add(&PHASES, name, found, leaked).map(|name| Self::Named(PhaseName(name)))
    }
}

impl Measurement {
    /// A figure that goes up and down, of a name that the host gives at run time: the metric
    /// `health_check_{name}` with the unit at its end, and that key of `measurements`.
    ///
    /// `help` says what it measures, in a sentence. The same name is the same figure, and the first
    /// help stays. At most 256 names may be given in a process. A name that a metric of ours has, such
    /// as `up`, gets no series.
    ///
    /// ```
    /// use vitalsign::{Measurement, Unit, every, secs};
    ///
    /// # struct Queue;
    /// # impl Queue { async fn oldest() -> std::io::Result<f64> { Ok(3.0) } }
    /// let age = Measurement::gauge("oldest_message", Unit::Seconds, "Age of the oldest message.")?;
    /// assert_eq!(age.name, "oldest_message_seconds");
    /// let queue = every(secs(5)).from_fn_cx(move |cx| async move {
    ///     cx.measure(age, Queue::oldest().await?);
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// # let _ = queue;
    /// # Ok::<(), vitalsign::NameError>(())
    /// ```
    ///
    /// # Errors
    /// [`NameError`] for a name of another form, and for one too many.
    pub fn gauge(name: &str, unit: Unit, help: &str) -> Result<&'static Self, NameError> {
        Self::named(name, unit.suffix(), "", help)
    }

    /// A figure that only grows, such as the messages that a broker has delivered, as
    /// [`gauge`](Self::gauge) otherwise; its name ends with `_total` after the unit.
    ///
    /// # Errors
    /// [`NameError`] for a name of another form, and for one too many.
    pub fn counter(name: &str, unit: Unit, help: &str) -> Result<&'static Self, NameError> {
        Self::named(name, unit.suffix(), TOTAL, help)
    }

    /// Whether it only grows, which its name says.
    pub(crate) fn is_counter(&self) -> bool {
        self.name.ends_with(TOTAL)
    }

    fn named(name: &str, unit: &str, total: &str, help: &str) -> Result<&'static Self, NameError> {
        let stem = name.strip_suffix(total).unwrap_or(name);
        let stem = stem.strip_suffix(unit).unwrap_or(stem);
        let name = [stem, unit, total].concat();
        check_form(&name)?;
        let found = |known: &&Self| known.name == name;
        let leaked = || {
            let leak = |text: &str| &*Box::leak(text.to_owned().into_boxed_str());
            &*Box::leak(Box::new(Self { name: leak(&name), help: leak(help) }))
        };
        find_or_add(&FIGURES, &name, found, leaked)
    }
}

/// What the name of a counter ends with.
const TOTAL: &str = "_total";

fn check_form(name: &str) -> Result<(), NameError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain);
    if is_name { Ok(()) } else { Err(NameError::Form(name.chars().take(LONGEST + 1).collect())) }
}

/// What is known under a name, or a new one where there is room.
fn find_or_add<T: Copy>(
    known: &Mutex<Vec<T>>,
    name: &str,
    found: impl Fn(&T) -> bool,
    new: impl FnOnce() -> T,
) -> Result<T, NameError> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.iter().find(|one| found(one)) {
        return Ok(*known);
    }
    if known.len() >= MOST {
        return Err(NameError::TooMany(name.to_owned()));
    }
    let added = new();
    known.push(added);
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_and_the_type_are_in_the_name_once() {
        for (name, unit, gauge, counter) in [
            ("depth", Unit::None, "depth", "depth_total"),
            ("depth_total", Unit::None, "depth_total", "depth_total"),
            ("age", Unit::Seconds, "age_seconds", "age_seconds_total"),
            ("age_seconds", Unit::Seconds, "age_seconds", "age_seconds_total"),
            ("sent_bytes_total", Unit::Bytes, "sent_bytes_total_bytes", "sent_bytes_total"),
            ("full", Unit::Ratio, "full_ratio", "full_ratio_total"),
        ] {
            assert_eq!(Measurement::gauge(name, unit, "Of a test.").map(|m| m.name), Ok(gauge));
            assert_eq!(Measurement::counter(name, unit, "Of a test.").map(|m| m.name), Ok(counter));
        }
    }

    #[test]
    fn one_name_is_one_figure_and_one_phase() {
        let figure = |help| Measurement::gauge("of_a_test", Unit::None, help).expect("a figure");
        assert!(std::ptr::eq(figure("First."), figure("Second.")));
        assert_eq!(figure("Third.").help, "First.");
        assert_eq!(Phase::named("of_a_test"), Phase::named("of_a_test"));
        assert_eq!(Phase::named("tls"), Ok(Phase::Tls));
    }

    #[test]
    fn names_have_a_form_and_a_bound() {
        for bad in ["", "A", "1a", "_a", "a-b", "a b", "ä", &"a".repeat(64)] {
            assert!(matches!(Phase::named(bad), Err(NameError::Form(_))), "{bad}");
            let figure = Measurement::gauge(bad, Unit::None, "");
            assert!(matches!(figure, Err(NameError::Form(_))), "{bad}");
        }
        let full = Mutex::new(vec![""; MOST]);
        let add = |name: &'static str| find_or_add(&full, name, |known| *known == name, || name);
        assert_eq!(add("one_more"), Err(NameError::TooMany("one_more".to_owned())));
        assert_eq!(add(""), Ok(""), "a known one is there still");
    }
}
