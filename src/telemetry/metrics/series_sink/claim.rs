//! Claims on recorders: they prevent that two `Health` values record the same series.
//!
//! This list is the only process-wide state of the library, because the global recorder is
//! process-wide, too. It is used when a [`Health`](crate::Health) is built or dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Exposition;
use crate::engine::state::Labels;

static CLAIMS: Mutex<Vec<(Recorder, Labels)>> = Mutex::new(Vec::new());

/// The identity of a recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recorder {
    OfProcess,
    /// The recorder's pointer; unique while the claim keeps the recorder alive.
    At(usize),
}

/// The right to record series with certain labels, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    recorder: Recorder,
    labels: Labels,
}

impl Claim {
    /// Claims `exposition` for series with `labels`; `Err` if they are claimed already. A route
    /// needs no claim, because each route is a separate page.
    pub(crate) fn new(exposition: &Exposition, labels: &Labels) -> Result<Option<Self>, ()> {
        let recorder = match exposition {
            Exposition::Route => return Ok(None),
            Exposition::Facade => Recorder::OfProcess,
            Exposition::Recorder(recorder) => {
                Recorder::At(Arc::as_ptr(recorder).cast::<()>().addr())
            }
        };
        let mut claims = claims();
        if claims.iter().any(|(at, taken)| *at == recorder && taken == labels) {
            return Err(());
        }
        claims.push((recorder, labels.clone()));
        Ok(Some(Self { recorder, labels: labels.clone() }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        claims().retain(|(at, labels)| *at != self.recorder || *labels != self.labels);
    }
}

fn claims() -> MutexGuard<'static, Vec<(Recorder, Labels)>> {
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_recorder_is_claimed_once_for_the_same_labels_and_free_again_after() {
        let recorder = || Exposition::Recorder(Arc::new(::metrics::NoopRecorder));
        let (one, other) = (recorder(), recorder());
        let plain = Labels::default();
        let labelled = Labels::new(BTreeMap::from([("app".to_owned(), "a".to_owned())]));
        let first = Claim::new(&one, &plain).expect("the first");
        assert!(first.is_some());
        assert!(Claim::new(&one.clone(), &plain).is_err());
        let _second = Claim::new(&one, &labelled).expect("others' series");
        let _third = Claim::new(&other, &plain).expect("another recorder");
        assert!(matches!(Claim::new(&Exposition::Route, &plain), Ok(None)));
        assert!(matches!(Claim::new(&Exposition::Route, &plain), Ok(None)));
        drop(first);
        assert!(Claim::new(&one, &labelled).is_err(), "it let go of its own alone");
        assert!(Claim::new(&one, &plain).is_ok());
    }
}
