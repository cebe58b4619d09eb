//! The sender: takes requests of a source, sends them, and decides what follows a failure.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::retry::Backoff;
use super::{ErrorType, Failure, Resend, Retry, RetryPolicy};

/// The deadline of a stop that is given more time than a clock can hold.
const LONGEST_STOP: Duration = Duration::from_hours(24);

/// Provides the requests, and is notified of their results.
pub(crate) trait Source: Send {
    /// What is sent at once.
    type Request: Send + Sync;
    /// What the receiver answers to a request that it takes.
    type Accepted: Send;

    /// Waits until [`Source::next`] may have a request. A flush or a stop cancels it.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// The next request, if there is one now.
    fn next(&mut self) -> Option<Self::Request>;

    /// The receiver took `request`; returns how many items of it are lost anyway.
    fn delivered(&mut self, request: Self::Request, accepted: Self::Accepted) -> u64;

    /// One attempt failed; whether another follows is not decided yet.
    fn attempt_failed(&mut self, request: &Self::Request, failure: &Failure) {
        let _ = (request, failure);
    }

    /// `request` is not sent again: it was refused for good, or its time is over. Returns how many
    /// items are lost with it.
    fn given_up(&mut self, request: Self::Request, failure: &Failure) -> u64;
}

/// Sends one request once.
pub(crate) trait Exporter<S: Source>: Send {
    /// Sends `request`.
    fn send(
        &mut self,
        request: &S::Request,
    ) -> impl Future<Output = Result<S::Accepted, Failure>> + Send;

    /// Leaves a connection that did not answer in time.
    fn reconnect(&mut self) {}
}

/// Called when a flush or a stop is done.
type Done<T> = Box<dyn FnOnce(T) + Send>;

enum Command {
    Flush(Done<()>),
    Stop(Duration, Done<u64>),
}

/// Steers a [`Sender`] from another task. When all of its clones are dropped, the sender ends.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// Sends what waits, then calls `done`. `None` when the sender has ended.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only spans are flushed"))]
    pub(crate) fn flush(&self, done: impl FnOnce() + Send + 'static) -> Option<()> {
        self.commands.send(Command::Flush(Box::new(|()| done()))).ok()
    }

    /// Sends what waits for no longer than `within`, and ends; then `done` gets the number of
    /// items lost. `None` when the sender has ended before.
    pub(crate) fn stop(
        &self,
        within: Duration,
        done: impl FnOnce(u64) + Send + 'static,
    ) -> Option<()> {
        self.commands.send(Command::Stop(within, Box::new(done))).ok()
    }
}

/// A sender that has ended.
#[cfg_attr(
    not(all(feature = "alertmanager", feature = "otlp")),
    allow(dead_code, reason = "spans are counted, and alerts kept")
)]
pub(crate) struct Stopped<S: Source> {
    /// Where the requests came from.
    pub(crate) source: S,
    /// Items that were lost since the stop began.
    pub(crate) lost: u64,
    /// With [`Resend::Newest`]: what could not be sent any more, and why.
    pub(crate) unsent: Option<(S::Request, Failure)>,
    /// Reports to whoever asked for the stop.
    pub(crate) done: Option<Done<u64>>,
}

/// Sends requests of a source by an exporter.
pub(crate) struct Sender<S: Source, E> {
    source: S,
    exporter: E,
    policy: RetryPolicy,
    backoff: Backoff,
    control: Control,
    /// A request that is sent again.
    retrying: Option<Retrying<S::Request>>,
    /// Nothing is sent before.
    not_before: Option<Instant>,
    lost: u64,
    unsent: Option<(S::Request, Failure)>,
}

struct Retrying<R> {
    request: R,
    /// When it is given up.
    deadline: Instant,
    failure: Failure,
}

impl<S: Source, E: Exporter<S>> Sender<S, E> {
    /// A sender that is yet to be run, and its handle.
    pub(crate) fn new(source: S, exporter: E, policy: RetryPolicy) -> (Self, Handle) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let sender = Self {
            source,
            exporter,
            policy,
            backoff: Backoff::new(policy),
            control: Control { inbox, flushes: Vec::new(), stop: None },
            retrying: None,
            not_before: None,
            lost: 0,
            unsent: None,
        };
        (sender, Handle { commands })
    }

    /// Sends until it is stopped.
    pub(crate) async fn run(mut self) -> Stopped<S> {
        while self.control.stop.is_none() {
            self.drain().await;
            self.control.flushed();
            if self.control.stop.is_none() {
                self.wait().await;
            }
        }
        self.send_the_rest().await;
        self.control.flushed();
        let done = self.control.stop.map(|stop| stop.done);
        Stopped { source: self.source, lost: self.lost, unsent: self.unsent, done }
    }

    /// Waits for a command, the end of a pause, or something to send.
    async fn wait(&mut self) {
        let pause = self.not_before.filter(|until| Instant::now() < *until);
        let source = &mut self.source;
        let work = async {
            match pause {
                Some(until) => sleep_until(until).await,
                None => source.ready().await,
            }
        };
        tokio::select! {
            command = self.control.inbox.recv() => self.control.accept(command),
            () = work => {}
        }
    }

    /// Sends until nothing waits, a pause begins, or the time of a stop is over.
    async fn drain(&mut self) {
        while self.unsent.is_none() {
            let now = Instant::now();
            let paused = self.not_before.is_some_and(|until| now < until);
            match &self.control.stop {
                Some(stop) if now >= stop.deadline => return,
                // A pause between two requests ends with the stop: it is the last chance.
                Some(_) if paused && self.retrying.is_some() => return,
                None if paused => return,
                _ => {}
            }
            if let Some(Retrying { request, deadline, .. }) = self.retrying.take() {
                self.deliver(request, Some(deadline)).await;
                continue;
            }
            let Some(request) = self.source.next() else { return };
            let deadline = match self.policy.resend {
                Resend::Same { within } => Some(now + within),
                Resend::Newest => None,
            };
            self.deliver(request, deadline).await;
        }
    }

    /// Sends a request once, and decides what becomes of it.
    async fn deliver(&mut self, request: S::Request, deadline: Option<Instant>) {
        self.not_before = None;
        let failure = match self.attempt(&request, deadline).await {
            Ok(accepted) => {
                self.backoff.reset();
                let lost = self.source.delivered(request, accepted);
                return self.lose(lost);
            }
            Err(failure) => failure,
        };
        self.source.attempt_failed(&request, &failure);
        let pause = self.backoff.pause(failure.retry);
        let until = pause.map(|pause| Instant::now() + pause);
        match (until, deadline) {
            // After a stop no newer request can be built.
            (_, None) if self.control.stop.is_some() => self.unsent = Some((request, failure)),
            (Some(_), None) => self.not_before = until,
            (Some(at), Some(deadline)) if at < deadline => {
                self.not_before = until;
                self.retrying = Some(Retrying { request, deadline, failure });
            }
            _ => {
                self.backoff.reset();
                if matches!(failure.retry, Retry::After(_)) {
                    self.not_before = until;
                }
                self.give_up(request, &failure);
            }
        }
    }

    fn give_up(&mut self, request: S::Request, failure: &Failure) {
        let lost = self.source.given_up(request, failure);
        self.lose(lost);
    }

    fn lose(&mut self, items: u64) {
        if self.control.stop.is_some() {
            self.lost += items;
        }
    }

    /// Sends once, for no longer than an attempt may take, and than until `deadline` and the stop.
    async fn attempt(
        &mut self,
        request: &S::Request,
        deadline: Option<Instant>,
    ) -> Result<S::Accepted, Failure> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let longest = left.map_or(self.policy.attempt, |left| left.min(self.policy.attempt));
        let attempt = timeout(longest, self.exporter.send(request));
        match self.control.unless_stopped(attempt).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                self.exporter.reconnect();
                let detail = format!("no answer within {longest:?}");
                Err(Failure { error_type: ErrorType::Timeout, detail, retry: Retry::Soon })
            }
            None => Err(stopped()),
        }
    }

    /// The last chance: sends what waits until the deadline of the stop.
    async fn send_the_rest(&mut self) {
        let Some(deadline) = self.control.stop.as_ref().map(|stop| stop.deadline) else { return };
        loop {
            self.drain().await;
            if Instant::now() >= deadline {
                break;
            }
            // Only the pause before another attempt can be left.
            let (Some(at), Some(retrying)) = (self.not_before, self.retrying.take()) else { break };
            if at < deadline {
                self.retrying = Some(retrying);
                sleep_until(at).await;
            } else {
                self.give_up(retrying.request, &retrying.failure);
            }
        }
        if let Some(Retrying { request, failure, .. }) = self.retrying.take() {
            self.give_up(request, &failure);
        }
        if self.unsent.is_none() && matches!(self.policy.resend, Resend::Newest) {
            self.unsent = self.source.next().map(|request| (request, stopped()));
        }
    }
}

/// The failure of a request that a stop left no time for.
fn stopped() -> Failure {
    let detail = "stopped before the receiver had answered".to_owned();
    Failure { error_type: ErrorType::Shutdown, detail, retry: Retry::Never }
}

/// Commands as they come, and what they ask for.
struct Control {
    inbox: mpsc::UnboundedReceiver<Command>,
    flushes: Vec<Done<()>>,
    stop: Option<Stop>,
}

struct Stop {
    deadline: Instant,
    done: Done<u64>,
}

impl Control {
    /// Takes a command; a missing one means that nobody is left to give any.
    fn accept(&mut self, command: Option<Command>) {
        let (within, done) = match command {
            Some(Command::Flush(done)) => return self.flushes.push(done),
            Some(Command::Stop(within, done)) => (within, done),
            None => (Duration::ZERO, Box::new(|_| {}) as Done<u64>),
        };
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + LONGEST_STOP);
        self.stop = Some(Stop { deadline, done });
    }

    /// What the flushes waited for was sent.
    fn flushed(&mut self) {
        for done in self.flushes.drain(..) {
            done(());
        }
    }

    /// Awaits `work`, but not past the deadline of a stop that began before or begins meanwhile.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let deadline = self.stop.as_ref().map(|stop| stop.deadline);
            tokio::select! {
                biased;
                output = &mut work => return Some(output),
                () = async { sleep_until(deadline.unwrap_or_else(Instant::now)).await },
                    if deadline.is_some() => return None,
                command = self.inbox.recv(), if deadline.is_none() => self.accept(command),
            }
        }
    }
}
