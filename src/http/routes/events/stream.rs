//! One client's stream: a summary, the changes that it missed, then live changes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use tokio_util::sync::CancellationToken;

use super::show::{self, Summary};
use super::{Place, Routes};
use crate::events::{FeedItem, OldestKept, Reader};
use crate::health::Access;
use crate::history::Change;

/// Changes that the history is asked for at once, so that no more of them wait for a client.
const PAGE: usize = 100;

/// Changes that the history is asked for in all.
const MOST: usize = 1_000;

/// A stream of events to one client.
pub(super) struct Events {
    routes: Arc<Routes>,
    /// The access settings when the stream was opened; a change closes it.
    access: Arc<Access>,
    details: bool,
    stopping: CancellationToken,
    /// Events that are sent first.
    opening: VecDeque<Bytes>,
    backlog: Option<Backlog>,
    reader: Reader,
    /// The summary to be sent once every change before it has been.
    due: Option<Arc<Summary>>,
    /// Whether the last has been said.
    ended: bool,
    _place: Place,
}

/// Changes from the history, for a client that was away longer than the feed remembers.
struct Backlog {
    /// Id of the last change that was sent.
    after: u64,
    /// The position from which the feed continues.
    floor: OldestKept,
    page: VecDeque<Change>,
    /// Changes that may still be asked for.
    left: usize,
    is_last_page: bool,
}

/// The event that follows the last change of a backlog.
enum AfterBacklog {
    Seamless,
    Gap,
}

impl Events {
    pub(super) fn new(
        routes: &Arc<Routes>,
        details: bool,
        last_seen: Option<u64>,
        stopping: CancellationToken,
        place: Place,
    ) -> Self {
        let feed = routes.health.feed();
        // The reader comes first: a round that begins now is one that it has not heard of.
        let resumed = last_seen.map(|id| (id, feed.reader_after(id)));
        let summary = routes.summaries.current(&routes.state, feed);
        let preamble = show::preamble(resumed.is_none().then_some(summary.mark.id));
        let opening = VecDeque::from([preamble, summary.event.clone()]);
        let (reader, backlog, due) = match resumed {
            None => (feed.reader(summary.mark), None, None),
            // What comes next is older than the summary, which is therefore sent again.
            Some((id, (reader, floor))) => {
                (reader, floor.map(|floor| Backlog::new(id, floor)), Some(summary))
            }
        };
        Self {
            routes: Arc::clone(routes),
            access: routes.health.access().load_full(),
            details,
            stopping,
            opening,
            backlog,
            reader,
            due,
            ended: false,
            _place: place,
        }
    }

    /// The parts of the answer's body.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, async |mut events| {
            let part = events.next().await?;
            Some((Ok(part), events))
        })
    }

    /// The next part; `None` when the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.access_changed() {
                return None;
            }
            if let Some(part) = self.opening.pop_front() {
                return Some(part);
            }
            if self.is_stopping() {
                return self.last_word();
            }
            if self.backlog.is_some() {
                if let Some(part) = self.older().await {
                    return Some(part);
                }
                continue;
            }
            if let Some(part) = self.newer() {
                return Some(part);
            }
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = self.routes.health.streams_closed().cancelled() => {}
                more = self.reader.woken() => if !more { return None },
            }
        }
    }

    /// Whether access to details has changed: then the stream ends, and it is decided again when
    /// the client reconnects.
    fn access_changed(&mut self) -> bool {
        let now = self.routes.health.access().load();
        if Arc::ptr_eq(&now, &self.access) {
            return false;
        }
        if **now != *self.access {
            return true;
        }
        self.access = Arc::clone(&now);
        false
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled() || self.routes.health.streams_closed().is_cancelled()
    }

    /// A summary that has not been sent yet, such as that of the draining, and then the end.
    fn last_word(&mut self) -> Option<Bytes> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        if let Some(FeedItem::Round(round)) = self.reader.take() {
            self.summarize(round);
        }
        self.due.take().map(|summary| summary.event.clone())
    }

    /// What the feed has next; `None` when it has nothing yet.
    fn newer(&mut self) -> Option<Bytes> {
        loop {
            let reached =
                |summary: &mut Arc<Summary>| self.reader.position() >= summary.mark.position;
            if let Some(summary) = self.due.take_if(reached) {
                return Some(summary.event.clone());
            }
            match self.reader.take()? {
                FeedItem::Change(published) => {
                    let details = self.details;
                    return Some(published.shown(details, |change| {
                        show::change(&change.check.name, &change.transition, details)
                    }));
                }
                FeedItem::Missed(count) => {
                    self.summarize(0);
                    return Some(show::gap(Some(count)));
                }
                FeedItem::Round(round) => self.summarize(round),
            }
        }
    }

    fn summarize(&mut self, round: u64) {
        let routes = &self.routes;
        let (feed, position) = (routes.health.feed(), self.reader.position());
        self.due = Some(routes.summaries.of(&routes.state, feed, round, position));
    }

    /// What the history has next; `None` when the feed takes over.
    async fn older(&mut self) -> Option<Bytes> {
        let backlog = self.backlog.as_mut()?;
        match backlog.next(&self.routes).await {
            Ok(change) => Some(show::change(&change.check, &change.transition, self.details)),
            Err(joint) => {
                self.backlog = None;
                matches!(joint, AfterBacklog::Gap).then(|| show::gap(None))
            }
        }
    }
}

impl Backlog {
    fn new(after: u64, floor: OldestKept) -> Self {
        Self { after, floor, page: VecDeque::new(), left: MOST, is_last_page: false }
    }

    /// The next change that the feed has no more; `Err` when there is none.
    async fn next(&mut self, routes: &Routes) -> Result<Change, AfterBacklog> {
        if self.page.is_empty() && !self.is_last_page {
            self.ask(routes).await?;
        }
        let older = |change: &mut Change| change.transition.id <= self.floor.id;
        match self.page.pop_front_if(older) {
            Some(change) => {
                self.after = change.transition.id;
                Ok(change)
            }
            None => Err(self.joint()),
        }
    }

    async fn ask(&mut self, routes: &Routes) -> Result<(), AfterBacklog> {
        if self.left == 0 {
            return Err(if self.after == self.floor.id {
                AfterBacklog::Seamless
            } else {
                AfterBacklog::Gap
            });
        }
        let history = routes.health.history().ok_or(AfterBacklog::Gap)?;
        let limit = PAGE.min(self.left);
        let page = history.changes_after(self.after, limit).await.map_err(|_| AfterBacklog::Gap)?;
        self.is_last_page = page.len() < limit;
        self.left -= limit;
        self.page = page.into();
        Ok(())
    }

    /// How the feed joins on: without a gap, unless it is known that the history lacks its last
    /// changes, which then are still to be written or were not to be had.
    fn joint(&self) -> AfterBacklog {
        if self.floor.is_change && self.after != self.floor.id {
            AfterBacklog::Gap
        } else {
            AfterBacklog::Seamless
        }
    }
}
