//! From a greeting to a session: TLS, and the proof of who the user is.
//!
//! # A login that does not come to its end
//! The server counts it against this host, unless a login was refused. So a certificate is judged
//! after the handshake of TLS, and whatever this client does not do is ended by a login that the
//! server refuses; no password has been sent by then.

use super::connection::{Connection, Farewell};
use super::error::Trouble;
use super::method::Method;
use super::packet::{END, ERROR, MORE_DATA, OK, Reader, refusal};
use super::servers::{Server, TlsMode};
use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};
use crate::net::{Endpoint, ServerAddress, Stream, TlsClient, brief, handshake_before_verdict};

/// What the two sides may do, by the names of the protocol.
mod capability {
    pub(super) const LONG_PASSWORD: u64 = 1;
    pub(super) const CONNECT_WITH_DB: u64 = 1 << 3;
    pub(super) const IGNORE_SPACE: u64 = 1 << 8;
    pub(super) const PROTOCOL_41: u64 = 1 << 9;
    pub(super) const SSL: u64 = 1 << 11;
    pub(super) const TRANSACTIONS: u64 = 1 << 13;
    pub(super) const SECURE_CONNECTION: u64 = 1 << 15;
    pub(super) const MULTI_STATEMENTS: u64 = 1 << 16;
    pub(super) const MULTI_RESULTS: u64 = 1 << 17;
    pub(super) const PLUGIN_AUTH: u64 = 1 << 19;
}

use capability::{
    CONNECT_WITH_DB, IGNORE_SPACE, LONG_PASSWORD, MULTI_RESULTS, MULTI_STATEMENTS, PLUGIN_AUTH,
    PROTOCOL_41, SECURE_CONNECTION, SSL, TRANSACTIONS,
};

/// What is wanted of a server that can do it.
const WANTED: u64 = LONG_PASSWORD
    | IGNORE_SPACE
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_STATEMENTS
    | MULTI_RESULTS
    | PLUGIN_AUTH;

const LONGEST_PACKET: u32 = 1 << 24;

/// `utf8mb4_general_ci`.
const CHARSET: u8 = 45;

/// The version of the protocol, since 1998.
const VERSION: u8 = 10;

/// What a server says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Greeting {
    capabilities: u64,
    /// Random bytes that the proof is made of.
    random: Vec<u8>,
    method: Vec<u8>,
}

impl Greeting {
    fn read(contents: &[u8]) -> Result<Self, Trouble> {
        if contents.first() == Some(&ERROR) {
            return Err(refusal(contents));
        }
        let mut reader = Reader(contents);
        if reader.byte()? != VERSION {
            return Err(Trouble::OtherProtocol);
        }
        let _version = reader.until_zero();
        let _session = reader.number(4)?;
        let mut random = reader.take(8)?.to_vec();
        reader.byte()?;
        let low = reader.number(2)?;
        if reader.0.is_empty() {
            return Ok(Self { capabilities: low, random, method: Vec::new() });
        }
        let (_charset, _status) = (reader.byte()?, reader.number(2)?);
        let capabilities = low | reader.number(2)? << 16;
        let length = usize::from(reader.byte()?);
        reader.take(10)?;
        if capabilities & SECURE_CONNECTION != 0 {
            let rest = reader.take(length.saturating_sub(8).max(13).min(reader.0.len()))?;
            random.extend(rest.strip_suffix(b"\0").unwrap_or(rest));
        }
        Ok(Self { capabilities, random, method: reader.until_zero().to_vec() })
    }
}

/// Connects to `server` and logs in.
pub(super) async fn connect(cx: &Context, server: &Server) -> Result<Connection, Trouble> {
    let stream = server.address.open(cx, None).await.map_err(|f| without_place(f, server))?;
    let mut conn = Connection::new(stream);
    let greeting = cx.phase(Phase::Request, conn.receive_first()).await;
    let greeting = greeting.and_then(|contents| Greeting::read(&contents));
    let greeting = greeting.inspect_err(|_| conn.ends_with(Farewell::Nothing))?;
    let mut login = Login { server, capabilities: WANTED & greeting.capabilities, private: false };
    login.capabilities |= PROTOCOL_41;
    if server.database.is_some() {
        login.capabilities |= CONNECT_WITH_DB;
    }
    login.secure(cx, &mut conn, &greeting).await?;
    cx.phase(Phase::Request, login.prove(&mut conn, greeting)).await?;
    conn.ends_with(Farewell::Quit);
    if let Some(sql) = &server.set_up {
        cx.phase(Phase::Request, conn.count(sql, 0)).await?;
    }
    Ok(conn)
}

/// The failure without the place, which the step names.
fn without_place(failure: Failure, server: &Server) -> Failure {
    let place = format!("connecting to {} failed: ", server.address);
    match failure.message().strip_prefix(&place) {
        Some(text) => Failure::new(failure.reason(), text),
        None => failure,
    }
}

struct Login<'a> {
    server: &'a Server,
    capabilities: u64,
    /// Whether nobody reads along.
    private: bool,
}

impl Login<'_> {
    /// Sets up TLS, where it is wanted.
    async fn secure(
        &mut self,
        cx: &Context,
        conn: &mut Connection,
        greeting: &Greeting,
    ) -> Result<(), Trouble> {
        let endpoint = match &self.server.address {
            ServerAddress::Tcp(endpoint) => endpoint,
            // A socket of this host.
            ServerAddress::Unix(_) => {
                self.private = true;
                return Ok(());
            }
        };
        let (client, required) = match &self.server.tls {
            TlsMode::Off => return Ok(()),
            TlsMode::IfOffered(client) => (client, false),
            TlsMode::Required(client) => (client, true),
        };
        if greeting.capabilities & SSL == 0 {
            if !required {
                return Ok(());
            }
            conn.refuse_login().await;
            return Err(Failure::new(Reason::TlsFailed, "the server does not support TLS").into());
        }
        self.capabilities |= SSL;
        conn.send(&self.head()).await?;
        self.upgrade(cx, conn, client, endpoint).await?;
        self.private = true;
        Ok(())
    }

    async fn upgrade(
        &self,
        cx: &Context,
        conn: &mut Connection,
        client: &TlsClient,
        endpoint: &Endpoint,
    ) -> Result<(), Trouble> {
        let Some(Stream::Plain(stream)) = conn.take_stream() else {
            return Err(Trouble::OtherProtocol);
        };
        let (stream, verdict) = handshake_before_verdict(cx, client, endpoint, stream).await?;
        conn.put_stream(Stream::Tls(stream));
        if let Err(distrust) = verdict {
            cx.phase(Phase::Request, conn.refuse_login()).await;
            return Err(distrust.into());
        }
        Ok(())
    }

    /// What a login and a request for TLS begin with.
    fn head(&self) -> Vec<u8> {
        let capabilities = u32::try_from(self.capabilities).unwrap_or(u32::MAX);
        let mut head = capabilities.to_le_bytes().to_vec();
        head.extend(LONGEST_PACKET.to_le_bytes());
        head.push(CHARSET);
        head.extend([0; 23]);
        head
    }

    /// Logs in by the method that the server asks for.
    async fn prove(&self, conn: &mut Connection, greeting: Greeting) -> Result<(), Trouble> {
        let mut random = greeting.random;
        // The server asks again where the user has another method.
        let announced = match Method::named(&greeting.method) {
            Some(method @ (Method::Native | Method::CachingSha2)) => method,
            _ => Method::Native,
        };
        let proof = announced.answer(self.password(), &random, self.private).unwrap_or_default();
        conn.send(&self.login(announced, &proof)).await?;
        conn.ends_with(Farewell::Answer);
        let mut method = announced;
        loop {
            let contents = conn.receive().await?;
            match contents.first() {
                Some(&OK) => return Ok(()),
                Some(&ERROR) => {
                    conn.ends_with(Farewell::Nothing);
                    return Err(refusal(&contents));
                }
                Some(&END) => {
                    let mut reader = Reader(&contents[1..]);
                    let name = reader.until_zero();
                    let data = reader.0;
                    random = data.strip_suffix(b"\0").unwrap_or(data).to_vec();
                    let Some(known) = Method::named(name) else {
                        conn.refuse_method().await;
                        return Err(unknown_method(name).into());
                    };
                    method = known;
                    self.answer(conn, method, &random).await?;
                }
                Some(&MORE_DATA) if method == Method::CachingSha2 => match contents.get(1) {
                    // The password is known to it; its last word follows.
                    Some(3) => {}
                    Some(4) => self.answer(conn, Method::Sha256, &random).await?,
                    _ => return Err(Trouble::OtherProtocol),
                },
                _ => return Err(Trouble::OtherProtocol),
            }
        }
    }

    async fn answer(
        &self,
        conn: &mut Connection,
        method: Method,
        random: &[u8],
    ) -> Result<(), Trouble> {
        if let Some(proof) = method.answer(self.password(), random, self.private) {
            return conn.send(&proof).await;
        }
        conn.refuse_method().await;
        Err(needs_tls().into())
    }

    fn password(&self) -> &str {
        self.server.password.as_ref().map_or("", |password| password.expose())
    }

    /// The packet that logs in.
    fn login(&self, method: Method, proof: &[u8]) -> Vec<u8> {
        let mut packet = self.head();
        packet.extend(self.server.user.as_bytes());
        packet.push(0);
        packet.push(u8::try_from(proof.len()).unwrap_or_default());
        packet.extend(proof);
        if let Some(database) = &self.server.database {
            packet.extend(database.as_bytes());
            packet.push(0);
        }
        if self.capabilities & PLUGIN_AUTH != 0 {
            packet.extend(method.name().as_bytes());
            packet.push(0);
        }
        packet
    }
}

fn unknown_method(name: &[u8]) -> Failure {
    let name = brief(String::from_utf8_lossy(name));
    let text = format!(
        "this client does not know the login `{name}` that the server asks for; give the check a \
         user with mysql_native_password, caching_sha2_password, sha256_password or ed25519"
    );
    Failure::new(Reason::AuthFailed, text)
}

fn needs_tls() -> Failure {
    let text = "this client sends the password for this user's login by SHA-256 over TLS or a \
                socket alone, since it does not encrypt it by RSA; use TLS, such as \
                ssl-mode=required";
    Failure::new(Reason::AuthFailed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_of_old_and_new_servers_are_read() {
        let new = b"\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0\xfe\xff\x2d\x02\0\xff\x81\
                    \x15\0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0";
        let greeting = Greeting::read(new).expect("a greeting");
        assert_eq!(greeting.random, b"abcdefghijklmnopqrst");
        assert_eq!(greeting.method, b"mysql_native_password");
        assert!(greeting.capabilities & SSL != 0 && greeting.capabilities & PLUGIN_AUTH != 0);
        let old = b"\x0a4.1.0\0\x01\0\0\0abcdefgh\0\x2c\xa2\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
                    ijklmnopqrst\0";
        let greeting = Greeting::read(old).expect("a greeting");
        assert_eq!((greeting.random.len(), greeting.method.len()), (20, 0));
        for other in [&b"\x0a5\0"[..], b"\x09old\0", b"HTTP/1.1 400"] {
            assert!(matches!(Greeting::read(other), Err(Trouble::OtherProtocol)), "{other:?}");
        }
        let full = Greeting::read(b"\xff\x10\x04Too many connections");
        assert!(matches!(full, Err(Trouble::Refused { number: 1040, .. })));
    }
}
