//! A connection to a broker: its frames in order, and what the broker sends unasked.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::Redaction;
use crate::engine::check::{Context, Failure};
use crate::model::Reason;
use crate::net::{self, Endpoint, MOST, Session};

use super::frame::{Close, Frame, parse};
use super::request;

/// Longest time that the answer to a farewell is awaited.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection of one run.
pub(super) struct Connection<'a> {
    endpoint: &'a Endpoint,
    redaction: &'a Redaction,
    session: Session<'a>,
    /// Why the broker takes no messages.
    blocked: Option<String>,
    /// Whether the broker has ended it.
    closed: bool,
}

impl<'a> Connection<'a> {
    pub(super) const fn new(
        endpoint: &'a Endpoint,
        redaction: &'a Redaction,
        session: Session<'a>,
    ) -> Self {
        Self { endpoint, redaction, session, blocked: None, closed: false }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.session.send(bytes).await;
    }

    /// Awaits the first byte of the next frame.
    pub(super) async fn first_byte(&mut self) -> Result<(), Failure> {
        self.session.first_byte().await
    }

    /// Awaits the next answer. What the broker sends unasked is noted.
    ///
    /// # Errors
    /// When there is none, or the broker ends the connection instead.
    pub(super) async fn next(&mut self) -> Result<Frame, Failure> {
        match self.next_or_close().await? {
            Frame::Closed(close) => Err(self.refused(&close)),
            frame => Ok(frame),
        }
    }

    /// As [`next`](Self::next), where the end of the connection is an answer as well. That end is
    /// agreed to.
    pub(super) async fn next_or_close(&mut self) -> Result<Frame, Failure> {
        loop {
            match self.session.next(|bytes| parse(bytes, MOST)).await? {
                Frame::Heartbeat => {}
                Frame::Blocked(why) => self.blocked = Some(why),
                Frame::Unblocked => self.blocked = None,
                Frame::Version(version) => return Err(self.another_version(&version)),
                Frame::Closed(close) => {
                    self.session.send(&request::close_ok()).await;
                    self.closed = true;
                    return Ok(Frame::Closed(close));
                }
                frame => return Ok(frame),
            }
        }
    }

    /// Opens the channel.
    pub(super) async fn open_channel(&mut self) -> Result<(), Failure> {
        self.send(&request::open_channel()).await;
        match self.next().await? {
            Frame::ChannelOpened => Ok(()),
            Frame::ChannelClosed(close) => Err(self.channel_refused(&close).await),
            _ => Err(self.unexpected()),
        }
    }

    /// Ends the connection in order. By now the broker has answered, so it may go without a word,
    /// and nothing that it sends here fails the run. Returns why it takes no messages.
    pub(super) async fn close(mut self, cx: &Context) -> Option<String> {
        if !self.closed {
            self.send(&request::close()).await;
            let agreed =
                async { while !matches!(self.next().await, Ok(Frame::CloseOk) | Err(_)) {} };
            let _ = timeout(FAREWELL.min(cx.remaining() / 2), agreed).await;
        }
        self.session.close().await;
        self.blocked
    }

    /// The failure of a broker that ended the channel, which is agreed to.
    pub(super) async fn channel_refused(&mut self, close: &Close) -> Failure {
        self.send(&request::channel_close_ok()).await;
        self.refused(close)
    }

    /// The failure of a broker that ended the connection or the channel.
    pub(super) fn refused(&self, close: &Close) -> Failure {
        let text = net::brief(self.redaction.clean(&close.text));
        let text = format!("{} answered: {} {text}", self.endpoint, close.code);
        Failure::new(close.reason(), text)
    }

    pub(super) fn another_version(&self, version: &str) -> Failure {
        let text = format!("{} speaks AMQP {version}, not 0-9-1", self.endpoint);
        Failure::new(Reason::Protocol, text)
    }

    /// The failure of a broker that sent what may not come now.
    pub(super) fn unexpected(&self) -> Failure {
        self.session.unexpected()
    }
}
