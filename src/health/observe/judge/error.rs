//! The errors that can be judged.

use std::borrow::Cow;
use std::error::Error;
use std::ops::Deref;

use super::chain::of_chain;
use crate::engine::check::{Failure, marker};
use crate::health::observe::observation::Observation;
use crate::model::Reason;

/// An error of a call that [`judge`](super::judge) knows to read.
///
/// It is implemented for every error, for boxed ones, and for those of the crates `anyhow` and
/// `eyre`. A [`Failure`] is its own judgement. A text or `()` cannot be told from a failure, and
/// counts as one, for [`Reason::Other`] and without the text, which may hold a secret.
///
/// The compiler finds `M`, which keeps these implementations apart, by itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be judged: it is no error",
    note = "say what it means for the dependency with `call_with(call, |error| …)`"
)]
pub trait CallError<M> {
    /// What the error says about the dependency.
    fn judge(&self) -> Observation;
}

impl<E: Error + 'static> CallError<marker::Plain> for E {
    fn judge(&self) -> Observation {
        of_chain(self)
    }
}

impl<E> CallError<marker::Shared> for E
where
    E: Deref<Target = dyn Error + Send + Sync + 'static>,
{
    fn judge(&self) -> Observation {
        of_chain(&**self)
    }
}

impl CallError<marker::Boxed> for Box<dyn Error> {
    fn judge(&self) -> Observation {
        of_chain(&**self)
    }
}

impl CallError<marker::Boxed> for Box<dyn Error + Send> {
    fn judge(&self) -> Observation {
        of_chain(&**self)
    }
}

impl CallError<marker::Own> for Failure {
    fn judge(&self) -> Observation {
        self.clone().into()
    }
}

/// Implements it for what says nothing of its cause.
macro_rules! untold {
    ($($type:ty),+) => {$(
        impl CallError<marker::Text> for $type {
            fn judge(&self) -> Observation {
                Observation::Failure(Reason::Other, None)
            }
        }
    )+};
}

untold!((), String, &str, Cow<'_, str>);
