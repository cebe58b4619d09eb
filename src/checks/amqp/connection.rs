//! A connection to a broker: reads its frames in order, and handles those that it sends unasked.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::Redaction;
use crate::engine::check::{Context, Failure};
use crate::model::Reason;
use crate::net::{self, Endpoint, MOST, Session};

use super::frame::{Close, Frame, parse};
use super::request;

/// Longest time to wait for the answer to `Connection.Close`.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection of one run.
pub(super) struct Connection<'a> {
    endpoint: &'a Endpoint,
    redaction: &'a Redaction,
    session: Session<'a>,
    /// Why the broker accepts no messages.
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

    /// Waits for the next answer, and records what the broker sends unasked.
    ///
    /// # Errors
    /// When there is none, or the broker ends the connection instead.
    pub(super) async fn next(&mut self) -> Result<Frame, Failure> {
        match self.next_or_close().await? {
            Frame::Closed(close) => Err(self.refused(&close)),
            frame => Ok(frame),
        }
    }

    /// As [`next`](Self::next), but the end of the connection is a valid answer, too, and is
    /// acknowledged.
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

    /// Closes the connection with the protocol's handshake. The broker has answered already, so
    /// nothing that happens here fails the run. Returns why the broker accepts no messages.
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

    /// The failure of a broker that closed the channel; the close is acknowledged.
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

    /// The failure of a broker that sent an unexpected method.
    pub(super) fn unexpected(&self) -> Failure {
        self.session.unexpected()
    }
}
