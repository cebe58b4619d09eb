//! Checks that are closures.

use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;

use super::{Check, Context, Declared, Detail, Failure, IntoFailure, Options};

impl Options {
    /// Declares a check that awaits what `f` returns, of kind `function`. `Ok` with nothing or a
    /// [`Detail`] is good. Any error fails the run, a boxed one, `anyhow::Error`, a text and a
    /// [`Failure`] too: see [`IntoFailure`].
    ///
    /// A panic in `f`, in its future or as that is dropped fails the run for [`Reason::Panic`], and
    /// the check is asked again when it is due. A future that does not end is dropped at the timeout,
    /// with what it holds. What nobody can end is a thread that it blocks (see
    /// [`check_runtime`](crate::Builder::check_runtime)) and the tasks that it has spawned. A panic
    /// while another one unwinds, and any where the program is built with `panic = "abort"`, ends the
    /// process, as everywhere.
    ///
    /// [`Reason::Panic`]: crate::Reason::Panic
    pub fn from_fn<F, Fut, T, E, M>(self, f: F) -> Declared
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Detail> + 'static,
        E: IntoFailure<M> + 'static,
        M: 'static,
    {
        self.from_fn_cx(move |_| f())
    }

    /// As [`from_fn`](Self::from_fn), for a closure that needs something of the host's: each run gets
    /// a clone of `state`.
    ///
    /// ```
    /// use vitalsign::{every, secs};
    ///
    /// # #[derive(Clone)] struct Cache;
    /// # impl Cache { async fn ping(&self) -> std::io::Result<()> { Ok(()) } }
    /// # let cache = Cache;
    /// let check = every(secs(5)).from_fn_with(cache.clone(), |cache| async move { cache.ping().await });
    /// # let _ = check;
    /// ```
    pub fn from_fn_with<S, F, Fut, T, E, M>(self, state: S, f: F) -> Declared
    where
        S: Clone + Send + Sync + 'static,
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Detail> + 'static,
        E: IntoFailure<M> + 'static,
        M: 'static,
    {
        self.from_fn_cx(move |_| f(state.clone()))
    }

    /// As [`from_fn`](Self::from_fn), for a closure that notes figures and phases, needs to know its
    /// deadline, or sends the trace context: it gets the [`Context`] of the run.
    ///
    /// ```
    /// use vitalsign::{Measurement, Phase, Unit, every, secs};
    ///
    /// # struct Index;
    /// # impl Index {
    /// #     async fn open() -> std::io::Result<Self> { Ok(Self) }
    /// #     fn documents(&self) -> f64 { 7.0 }
    /// # }
    /// let documents = Measurement::gauge("documents", Unit::None, "Documents of the index.")?;
    /// let open = Phase::named("open")?;
    /// let index = every(secs(30)).kind("index").from_fn_cx(move |cx| async move {
    ///     let index = cx.phase(open, Index::open()).await?;
    ///     cx.measure(documents, index.documents());
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// # let _ = index;
    /// # Ok::<(), vitalsign::NameError>(())
    /// ```
    pub fn from_fn_cx<F, Fut, T, E, M>(self, f: F) -> Declared
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Detail> + 'static,
        E: IntoFailure<M> + 'static,
        M: 'static,
    {
        self.check(Closure(f, PhantomData))
    }
}

/// Declares a check that awaits what `f` returns, with the default options: every 10 s.
pub fn from_fn<F, Fut, T, E, M>(f: F) -> Declared
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Detail> + 'static,
    E: IntoFailure<M> + 'static,
    M: 'static,
{
    Options::default().from_fn(f)
}

/// [`Options::from_fn_with`] with the default options: every 10 s.
pub fn from_fn_with<S, F, Fut, T, E, M>(state: S, f: F) -> Declared
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Detail> + 'static,
    E: IntoFailure<M> + 'static,
    M: 'static,
{
    Options::default().from_fn_with(state, f)
}

/// [`Options::from_fn_cx`] with the default options: every 10 s.
pub fn from_fn_cx<F, Fut, T, E, M>(f: F) -> Declared
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Detail> + 'static,
    E: IntoFailure<M> + 'static,
    M: 'static,
{
    Options::default().from_fn_cx(f)
}

/// A closure, and which implementation of [`IntoFailure`] its error has.
struct Closure<F, M>(F, PhantomData<fn() -> M>);

#[async_trait]
impl<F, Fut, T, E, M> Check for Closure<F, M>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Detail> + 'static,
    E: IntoFailure<M> + 'static,
    M: 'static,
{
    fn kind(&self) -> &'static str {
        "function"
    }

    async fn run(&self, cx: &Context) -> Result<Detail, Failure> {
        let call = (self.0)(cx.clone());
        call.await.map(Into::into).map_err(IntoFailure::into_failure)
    }
}
