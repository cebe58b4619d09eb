//! What a call says about the dependency.

use crate::engine::check::Failure;
#[cfg(doc)]
use crate::model::Outcome;
use crate::model::Reason;

/// What a call says about the dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observation {
    /// It answered as it should.
    Success,
    /// It answered, with a caveat for people to read.
    Warning(String),
    /// It did not serve, for the reason; the text for people must hold no secret.
    ///
    /// [`Reason::Timeout`] counts as [`Outcome::Timeout`], and [`Reason::LocalResource`], where it
    /// could not be asked at all, as [`Outcome::Unknown`].
    Failure(Reason, Option<String>),
    /// It says nothing about the dependency, and counts nothing.
    Ignored,
}

impl From<Reason> for Observation {
    fn from(reason: Reason) -> Self {
        Self::Failure(reason, None)
    }
}

/// `None` is a success: an error of the call that is none of the dependency's.
impl From<Option<Reason>> for Observation {
    fn from(reason: Option<Reason>) -> Self {
        reason.map_or(Self::Success, Self::from)
    }
}

impl From<Failure> for Observation {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure.reason, Some(failure.message))
    }
}
