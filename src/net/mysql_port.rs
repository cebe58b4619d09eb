//! How `tcp` and `tls` checks leave a MySQL port without raising its count of aborted connections.
//!
//! # Why
//! MySQL and MariaDB count each connection that ends before the client has logged in. After
//! `max_connect_errors` of them in a row, 100 by default, they refuse the whole host, including the
//! application on it. A refused login does not count.
//!
//! # How
//! The server speaks first, so a connection that it greets is ended by a login that it refuses, as
//! the user `vitalsign` without a password. A port is waited for until it has shown once whether it
//! speaks first: for a moment, and longer on the port that is MySQL's by custom. One that was silent
//! is waited for again now and then, since a server may look up the client's name before it greets.
//!
//! A server that is busy or stopped may greet later, when nobody hears it. Where it was heard before,
//! and on the port that is MySQL's by custom, the login is sent all the same: the server finds it
//! behind its greeting, and refuses it then.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The port of MySQL and MariaDB.
pub(crate) const PORT: u16 = 3306;

/// Shortest wait for the first word of a port that is not known yet.
const MOMENT: Duration = Duration::from_millis(10);

/// Longest packet that is read on the way to the end of a login.
const MOST: usize = 4096;

/// How many packets a login may take: the change of its method, and the verdict, among others.
const PACKETS: usize = 4;

/// What a port does first, as far as a check has seen it.
#[derive(Debug, Default)]
pub(crate) struct FirstWord(AtomicU8);

const UNKNOWN: u8 = 0;
const OTHER: u8 = 1;
const MYSQL: u8 = 2;
/// It was silent; what is above it counts the connections since.
const SILENT: u8 = 3;

/// How many connections to a silent port are not waited for, before one is.
const PAUSE: u8 = 8;

impl FirstWord {
    /// Forgets it: the next connection may meet another server.
    pub(crate) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }

    /// How long to wait for the greeting of a server at `port`, to which the connection took
    /// `connected` and whose run has `remaining`.
    pub(crate) fn patience(
        &self,
        port: u16,
        connected: Duration,
        remaining: Duration,
    ) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            MYSQL => Some(remaining / 2),
            OTHER => None,
            silent @ SILENT.. if silent < SILENT + PAUSE => {
                self.0.store(silent + 1, Ordering::Relaxed);
                None
            }
            _ if port == PORT => Some(remaining / 2),
            _ => Some((2 * connected + MOMENT).min(remaining / 4)),
        }
    }

    /// Waits as long as `patience` for a greeting of MySQL, and ends that talk.
    pub(crate) async fn part<S>(&self, stream: &mut S, patience: Duration)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut greeting = vec![0; MOST];
        let word = match timeout(patience, stream.read(&mut greeting)).await {
            Ok(Ok(length)) if is_greeting(&greeting[..length]) => MYSQL,
            Ok(_) => OTHER,
            Err(_) => SILENT,
        };
        if word == SILENT && self.0.load(Ordering::Relaxed) == MYSQL {
            part_unheard(stream).await;
            return;
        }
        self.0.store(word, Ordering::Relaxed);
        if word == MYSQL {
            part(stream, patience).await;
        }
    }

    /// Whether nothing was heard of the port when it was waited for.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= SILENT
    }
}

/// Whether `bytes` are the start of a server's greeting: version 10 of the protocol, since 1998.
pub(crate) fn is_greeting(bytes: &[u8]) -> bool {
    matches!(bytes, [length, _, 0, 0, 10, version, ..]
        if *length > 30 && version.is_ascii_digit())
}

/// Has a login refused by a server whose greeting was read, within `limit`.
pub(crate) async fn part<S>(stream: &mut S, limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Whatever happens, the check has its answer: the port is open.
    let _ = timeout(limit, log_in(stream)).await;
}

/// Sends the login that is refused to a server that was not heard.
pub(crate) async fn part_unheard<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Nothing was sent before, so there is room for it.
    let _ = timeout(MOMENT, stream.write_all(&refused_login(1))).await;
}

async fn log_in<S>(stream: &mut S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&response(1)).await?;
    for _ in 0..PACKETS {
        let header = stream.read_u32_le().await?;
        let (length, sequence) = (header & 0x00ff_ffff, header.to_le_bytes()[3]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 || length > MOST {
            return Ok(());
        }
        let mut packet = vec![0; length];
        stream.read_exact(&mut packet).await?;
        match packet[0] {
            // Another method: no password by that one either.
            0xfe => stream.write_all(&[0, 0, 0, sequence.wrapping_add(1)]).await?,
            // It lets anybody in: COM_QUIT.
            0x00 => return stream.write_all(&[1, 0, 0, 0, 1]).await,
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// A login that a server refuses, with the number `sequence`, and an empty answer in case it asks
/// for another method first.
pub(crate) fn refused_login(sequence: u8) -> Vec<u8> {
    let mut login = response(sequence);
    login.extend([0, 0, 0, sequence.wrapping_add(2)]);
    login
}

/// HandshakeResponse41 of the user `vitalsign` without a password.
fn response(sequence: u8) -> Vec<u8> {
    /// LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH.
    const CAPABILITIES: u32 = 0x1 | 0x200 | 0x8000 | 0x8_0000;
    const LONGEST_PACKET: u32 = 1 << 24;
    const UTF8: u8 = 33;
    let mut body = Vec::new();
    body.extend(CAPABILITIES.to_le_bytes());
    body.extend(LONGEST_PACKET.to_le_bytes());
    body.push(UTF8);
    body.extend([0; 23]);
    body.extend(b"vitalsign\0");
    // The length of the password.
    body.push(0);
    body.extend(b"mysql_native_password\0");
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    [&[length, 0, 0, sequence], &body[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] = b"\x4a\0\0\0\x0a8.0.36\0rest";

    #[test]
    fn only_a_greeting_of_mysql_is_one() {
        assert!(is_greeting(GREETING));
        assert!(is_greeting(b"\x6e\0\0\0\x0a5.5.5-10.11.6-MariaDB\0"));
        for other in [
            &b""[..],
            b"220 mail ESMTP\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"+OK ready\r\n",
            b"INFO {\"server_id\":\"a\"}\r\n",
            // MySQL that has blocked the host, or has no connection left.
            b"\x45\0\0\0\xff\x69\x04Host 'a' is blocked",
        ] {
            assert!(!is_greeting(other), "{other:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_greeting_is_answered_by_a_login_and_the_port_is_known_from_then_on() {
        let word = FirstWord::default();
        let second = Duration::from_secs(1);
        let moment = word.patience(5432, MOMENT, second).expect("a moment");
        assert_eq!(moment, 3 * MOMENT);
        assert_eq!(word.patience(PORT, MOMENT, second), Some(second / 2));
        let (mut ours, mut server) = tokio::io::duplex(1024);
        let serve = async {
            server.write_all(GREETING).await.expect("room");
            let mut login = vec![0; response(1).len()];
            server.read_exact(&mut login).await.expect("a login");
            // Another method first, then the refusal.
            server.write_all(b"\x02\0\0\x02\xfe\0").await.expect("room");
            let mut empty = [0; 4];
            server.read_exact(&mut empty).await.expect("an empty answer");
            server.write_all(b"\x04\0\0\x04\xff\x15\x04#").await.expect("room");
            (login, empty)
        };
        let ((), (login, empty)) = tokio::join!(word.part(&mut ours, moment), serve);
        assert_eq!((login, empty), (response(1), [0, 0, 0, 3]));
        assert_eq!(word.patience(5432, MOMENT, second), Some(second / 2));
        word.forget();
        assert_eq!(word.patience(5432, MOMENT, second), Some(moment));
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_says_nothing_is_waited_for_once() {
        let word = FirstWord::default();
        let (mut ours, _server) = tokio::io::duplex(64);
        let started = tokio::time::Instant::now();
        word.part(&mut ours, MOMENT).await;
        assert_eq!(started.elapsed(), MOMENT);
        assert_eq!(word.patience(80, MOMENT, MOMENT), None);
        assert_eq!(word.patience(PORT, MOMENT, MOMENT), None);
        assert!(word.is_silent());
        let again = (0..20).position(|_| word.patience(80, MOMENT, MOMENT).is_some());
        assert!(again.is_some_and(|n| n < 10), "a slow one would never be heard: {again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_was_heard_before_is_sent_the_login_unheard() {
        let word = FirstWord(AtomicU8::new(MYSQL));
        let (mut ours, mut server) = tokio::io::duplex(1024);
        word.part(&mut ours, MOMENT).await;
        let mut sent = vec![0; refused_login(1).len()];
        server.read_exact(&mut sent).await.expect("a login");
        assert_eq!(sent, refused_login(1));
        assert!(word.patience(5432, MOMENT, MOMENT).is_some(), "it is still MySQL");
    }
}
