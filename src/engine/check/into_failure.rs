//! What the error of a closure may be.

use std::borrow::Cow;
use std::error::Error;
use std::ops::Deref;

use super::Failure;
use crate::model::Reason;

/// An error by which a closure may fail: see [`Options::from_fn`](super::Options::from_fn).
///
/// It is implemented for every error, for boxed ones, for those of the crates `anyhow` and `eyre`,
/// for texts, for a [`Failure`], and for any type that [`Into`] makes one. An I/O error in the chain
/// of causes gives the reason, the texts of the chain give the message. A text alone fails for
/// [`Reason::Other`].
///
/// The compiler finds `M`, which keeps these implementations apart, by itself.
///
/// ```
/// use vitalsign::{every, secs};
///
/// # struct Queue;
/// # impl Queue {
/// #     async fn depth() -> Result<u64, Box<dyn std::error::Error + Send + Sync>> { Ok(3) }
/// # }
/// let boxed = every(secs(5)).from_fn(|| async { Queue::depth().await.map(|_| ()) });
/// let text = every(secs(5)).from_fn(|| async {
///     match Queue::depth().await {
///         Ok(0..1_000) => Ok(()),
///         Ok(depth) => Err(format!("{depth} messages wait")),
///         Err(_) => Err("the queue does not say how deep it is".to_owned()),
///     }
/// });
/// # let _ = (boxed, text);
/// ```
#[diagnostic::on_unimplemented(
    message = "a check cannot fail by `{Self}`: it is no error, no text and no `Failure`",
    note = "implement `std::error::Error`, or `From<{Self}> for vitalsign::Failure`"
)]
pub trait IntoFailure<M> {
    /// The failure that the error stands for.
    fn into_failure(self) -> Failure;
}

/// Which implementation of [`IntoFailure`] or [`CallError`](crate::observe::CallError) an error has.
pub mod marker {
    /// An error, or what makes a failure of itself.
    #[derive(Debug)]
    pub enum Plain {}
    /// A pointer to an error that other threads may share.
    #[derive(Debug)]
    pub enum Shared {}
    /// A box with any other error.
    #[derive(Debug)]
    pub enum Boxed {}
    /// A text.
    #[derive(Debug)]
    pub enum Text {}
    /// A failure of ours.
    #[derive(Debug)]
    pub enum Own {}
}

impl<E: Into<Failure>> IntoFailure<marker::Plain> for E {
    fn into_failure(self) -> Failure {
        self.into()
    }
}

impl<E> IntoFailure<marker::Shared> for E
where
    E: Deref<Target = dyn Error + Send + Sync + 'static>,
{
    fn into_failure(self) -> Failure {
        Failure::of_error(&*self)
    }
}

impl IntoFailure<marker::Boxed> for Box<dyn Error> {
    fn into_failure(self) -> Failure {
        Failure::of_error(&*self)
    }
}

impl IntoFailure<marker::Boxed> for Box<dyn Error + Send> {
    fn into_failure(self) -> Failure {
        Failure::of_error(&*self)
    }
}

impl<T: Into<Cow<'static, str>>> IntoFailure<marker::Text> for T {
    fn into_failure(self) -> Failure {
        Failure::new(Reason::Other, self.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A pointer as `anyhow::Error` is one.
    struct Report(Box<dyn Error + Send + Sync>);

    impl Deref for Report {
        type Target = dyn Error + Send + Sync;

        fn deref(&self) -> &Self::Target {
            &*self.0
        }
    }

    /// A host's own, which was made a failure before this trait was there.
    struct Own;

    impl From<Own> for Failure {
        fn from(_: Own) -> Self {
            Self::new(Reason::NotServing, "own")
        }
    }

    fn of<E: IntoFailure<M>, M>(error: E) -> (Reason, String) {
        let failure = error.into_failure();
        (failure.reason(), failure.message().to_owned())
    }

    #[test]
    fn any_error_a_box_a_report_a_text_and_a_failure_fail_a_run() {
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let refused = (Reason::ConnectionRefused, "connection refused".to_owned());
        let local: Box<dyn Error> = Box::new(io());
        let sent: Box<dyn Error + Send> = Box::new(io());
        let shared: Box<dyn Error + Send + Sync> = Box::new(io());
        assert_eq!(of(io()), refused);
        assert_eq!(of(local), refused);
        assert_eq!(of(sent), refused);
        assert_eq!(of(shared), refused);
        assert_eq!(of(Report(Box::new(io()))), refused);
        let text = (Reason::Other, "full".to_owned());
        assert_eq!(of("full"), text);
        assert_eq!(of("full".to_owned()), text);
        assert_eq!(of(Cow::Borrowed("full")), text);
        assert_eq!(of(Own), (Reason::NotServing, "own".to_owned()));
        assert_eq!(of(Failure::new(Reason::Protocol, "x")), (Reason::Protocol, "x".to_owned()));
    }
}
