//! The name of a Prometheus job.

use std::fmt;
use std::str::FromStr;

/// The name of the job under which Prometheus scrapes the service.
///
/// Letters, digits, spaces and `_ - . : / @ + , ( )`: whatever service discovery makes, such as
/// `serviceMonitor/shop/orders/0`, and nothing that ends a string within an expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job(String);

/// Longest name of a job.
const MAX_LENGTH: usize = 200;

/// A text that cannot be the name of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of a job; write at most 200 letters, digits, spaces and _ - . : / @ + , ( ), \
     such as vitalsign"
)]
pub struct NotAJob;

impl Default for Job {
    /// `vitalsign`
    fn default() -> Self {
        Self("vitalsign".to_owned())
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Job {
    type Err = NotAJob;

    fn from_str(text: &str) -> Result<Self, NotAJob> {
        let plain = |c: char| c.is_alphanumeric() || " _-.:/@+,()".contains(c);
        let fits = (1..=MAX_LENGTH).contains(&text.chars().count());
        let good = fits && text.trim() == text && text.chars().all(plain);
        good.then(|| Self(text.to_owned())).ok_or(NotAJob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_discovery_makes_is_a_name() {
        for good in ["vitalsign", "serviceMonitor/shop/orders/0", "a b", "büro", &"a".repeat(200)]
        {
            assert_eq!(good.parse::<Job>().map(|job| job.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn what_would_end_a_string_is_none() {
        for bad in ["", " a", "a\"", "a\\", "a\nb", "a`", "a{b}", "a\u{0}", &"a".repeat(201)] {
            assert_eq!(bad.parse::<Job>(), Err(NotAJob), "{bad:?}");
        }
    }
}
