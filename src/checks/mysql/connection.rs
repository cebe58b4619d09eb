//! A session with a server: statements and their answers, and the end in order.
//!
//! # The end
//! MySQL and MariaDB count connections that end without a word, and refuse a host that ends too
//! many of them before the login (`max_connect_errors`). A session that is dropped, as by a
//! deadline, therefore still writes what ends it in order, as far as the connection takes that at
//! once: a login that is refused before the login, and a farewell after it.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::Trouble;
use super::packet::{END, ERROR, LOCAL_FILE, LONGEST, OK, Reader, frame, refusal};
use crate::net::{Stream, mysql_port};

/// Most bytes of a packet that are kept; the rest is read and dropped.
const MOST: usize = 64 * 1024;

/// Room for what is read at once.
const ROOM: usize = 2_048;

/// Most columns of an answer.
const MAX_COLUMNS: u64 = 4_096;

/// Most rows that are kept.
const MAX_KEPT: usize = 256;

/// Another result follows this one.
const MORE_RESULTS: u64 = 8;

const QUIT: u8 = 0x01;
const QUERY: u8 = 0x03;
const PING: u8 = 0x0e;

/// What ends the session in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// A login that the server refuses: it has seen none yet.
    Login,
    /// An empty answer, in case the server asks for another method of logging in.
    Answer,
    /// The command to end it.
    Quit,
    /// Nothing: the server has ended it.
    Nothing,
}

/// A session, or the beginning of one.
#[derive(Debug)]
pub(super) struct Connection {
    /// None while TLS is being set up over it.
    stream: Option<Stream>,
    received: Vec<u8>,
    /// Number of the next packet of the exchange.
    sequence: u8,
    farewell: Farewell,
}

/// A row by the names of its columns; a NULL is absent.
pub(super) type Row = HashMap<String, String>;

impl Connection {
    /// A connection on which the server has not been heard yet.
    pub(super) const fn new(stream: Stream) -> Self {
        // The greeting has the number 0.
        let sequence = 1;
        Self { stream: Some(stream), received: Vec::new(), sequence, farewell: Farewell::Login }
    }

    pub(super) const fn ends_with(&mut self, farewell: Farewell) {
        self.farewell = farewell;
    }

    /// Takes the stream, to set up TLS over it: until it is back there is nothing to end.
    pub(super) const fn take_stream(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    pub(super) fn put_stream(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    fn stream(&mut self) -> Result<&mut Stream, Trouble> {
        self.stream.as_mut().ok_or(Trouble::Closed)
    }

    /// Sends a packet within an exchange.
    pub(super) async fn send(&mut self, contents: &[u8]) -> Result<(), Trouble> {
        let framed = frame(self.sequence, contents);
        self.sequence = self.sequence.wrapping_add(1);
        let stream = self.stream()?;
        stream.write_all(&framed).await?;
        Ok(stream.flush().await?)
    }

    /// The contents of the next packet, as far as they are kept.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut contents = Vec::new();
        loop {
            let header = self.bytes(4).await?;
            let mut reader = Reader(&header);
            let length = usize::try_from(reader.number(3)?).unwrap_or(LONGEST);
            self.sequence = reader.byte()?.wrapping_add(1);
            let mut left = length;
            while left > 0 {
                let part = self.bytes(left.min(MOST)).await?;
                left -= part.len();
                contents.extend(&part[..part.len().min(MOST - contents.len())]);
            }
            if length < LONGEST {
                return Ok(contents);
            }
        }
    }

    /// The contents of the first packet of a server. A length that no greeting has is the text of
    /// another protocol.
    pub(super) async fn receive_first(&mut self) -> Result<Vec<u8>, Trouble> {
        let header = self.bytes(4).await?;
        let mut reader = Reader(&header);
        let (length, sequence) = (reader.number(3)?, reader.byte()?);
        match usize::try_from(length) {
            Ok(length @ 1..=MOST) if sequence == 0 => self.bytes(length).await,
            _ => Err(Trouble::OtherProtocol),
        }
    }

    /// So many bytes. What has arrived of them stays where the wait is given up.
    async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        while self.received.len() < length {
            self.received.reserve(ROOM.max(length - self.received.len()));
            let stream = self.stream.as_mut().ok_or(Trouble::Closed)?;
            if stream.read_buf(&mut self.received).await? == 0 {
                self.farewell = Farewell::Nothing;
                return Err(Trouble::Closed);
            }
        }
        let rest = self.received.split_off(length);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    async fn command(&mut self, command: u8, text: &str) -> Result<(), Trouble> {
        self.sequence = 0;
        self.send(&[&[command], text.as_bytes()].concat()).await
    }

    /// Asks whether the server is there.
    pub(super) async fn ping(&mut self) -> Result<(), Trouble> {
        self.command(PING, "").await?;
        match self.receive().await?.first() {
            Some(&OK) => Ok(()),
            _ => Err(Trouble::OtherProtocol),
        }
    }

    /// Runs `sql`, and counts its rows up to one more than `most`.
    pub(super) async fn count(&mut self, sql: &str, most: u64) -> Result<u64, Trouble> {
        let mut rows = 0;
        self.run(sql, |_, _| {
            rows += 1;
            Ok(rows <= most)
        })
        .await?;
        Ok(rows)
    }

    /// Runs `sql`, and returns its rows.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Trouble> {
        let mut rows = Vec::new();
        self.run(sql, |columns, contents| {
            let mut reader = Reader(contents);
            let mut row = Row::new();
            for column in columns {
                if let Some(value) = reader.text()? {
                    row.insert(column.clone(), value);
                }
            }
            rows.push(row);
            Ok(rows.len() < MAX_KEPT)
        })
        .await?;
        Ok(rows)
    }

    /// Runs `sql`, and hands each row to `take` until that has enough.
    async fn run(
        &mut self,
        sql: &str,
        mut take: impl FnMut(&[String], &[u8]) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        self.command(QUERY, sql).await?;
        loop {
            let contents = self.receive().await?;
            let status = match contents.first() {
                Some(&OK) => {
                    let mut reader = Reader(&contents[1..]);
                    // Rows that were changed, and the last number that was given.
                    let _counts = [reader.variable()?, reader.variable()?];
                    reader.number(2)?
                }
                Some(&ERROR) => return Err(refusal(&contents)),
                None | Some(&LOCAL_FILE) => return Err(Trouble::OtherProtocol),
                Some(_) => match self.result(&contents, &mut take).await? {
                    Some(status) => status,
                    None => return Ok(()),
                },
            };
            if status & MORE_RESULTS == 0 {
                return Ok(());
            }
        }
    }

    /// Reads a result that `head` begins, and returns its status; `None` where `take` has enough.
    async fn result(
        &mut self,
        head: &[u8],
        take: &mut impl FnMut(&[String], &[u8]) -> Result<bool, Trouble>,
    ) -> Result<Option<u64>, Trouble> {
        let count = Reader(head).variable()?.filter(|count| *count <= MAX_COLUMNS);
        let mut columns = Vec::new();
        for _ in 0..count.ok_or(Trouble::OtherProtocol)? {
            let contents = self.receive().await?;
            let mut reader = Reader(&contents);
            // Catalogue, schema, table and its real name stand before the name.
            for _ in 0..4 {
                reader.text()?;
            }
            columns.push(reader.text()?.unwrap_or_default());
        }
        if end(&self.receive().await?)?.is_none() {
            return Err(Trouble::OtherProtocol);
        }
        loop {
            let contents = self.receive().await?;
            if contents.first() == Some(&ERROR) {
                return Err(refusal(&contents));
            }
            if let Some(status) = end(&contents)? {
                return Ok(Some(status));
            }
            if !take(&columns, &contents)? {
                return Ok(None);
            }
        }
    }

    /// Ends the session in order.
    pub(super) async fn close(mut self) {
        if self.command(QUIT, "").await.is_err() {
            return;
        }
        self.farewell = Farewell::Nothing;
        if let Some(stream) = &mut self.stream {
            let _ = stream.shutdown().await;
        }
    }

    /// Has a login refused, so that the server counts the connection as no failed one.
    pub(super) async fn refuse_login(&mut self) {
        let login = mysql_port::refused_login(self.sequence);
        self.farewell = Farewell::Nothing;
        let Ok(stream) = self.stream() else { return };
        // Whatever happens, the check has its failure.
        if stream.write_all(&login).await.is_ok() && stream.flush().await.is_ok() {
            let _ = self.receive().await;
        }
    }

    /// Answers the method that the server asks for with nothing, and hears it refuse that.
    pub(super) async fn refuse_method(&mut self) {
        if self.send(&[0]).await.is_ok() {
            self.farewell = Farewell::Nothing;
            let _ = self.receive().await;
        }
    }
}

/// The status that the end of a list has; `None` for anything else.
fn end(contents: &[u8]) -> Result<Option<u64>, Trouble> {
    if contents.first() != Some(&END) || contents.len() >= 9 {
        return Ok(None);
    }
    let mut reader = Reader(&contents[1..]);
    let _warnings = reader.number(2)?;
    reader.number(2).map(Some)
}

impl Drop for Connection {
    fn drop(&mut self) {
        let bytes = match self.farewell {
            Farewell::Login => mysql_port::refused_login(self.sequence),
            // The server's own packet comes before it.
            Farewell::Answer => frame(self.sequence.wrapping_add(1), &[]),
            Farewell::Quit => frame(0, &[QUIT]),
            Farewell::Nothing => return,
        };
        let Some(stream) = &mut self.stream else { return };
        // Nobody can wait here: it is sent if the connection takes it now.
        let cx = &mut Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut *stream).poll_write(cx, &bytes);
        let _ = Pin::new(&mut *stream).poll_flush(cx);
    }
}
