//! Asks sentinels for the address of the master.
//!
//! Input: the sentinels of a URL and the master's name. Output: the master's address, from the
//! first sentinel that knows it. Clients of an application find their master in the same way.

use crate::config::Redaction;
use crate::engine::check::{Context, Failure};
use crate::model::{Phase, Reason};
use crate::net::{Endpoint, ServerAddress, TlsClient, attempt, most_telling};

use super::connection::{Connection, Login};
use super::reply::Reply;

/// The sentinels that watch a master.
pub(super) struct Sentinels {
    /// At least one.
    pub(super) addresses: Vec<ServerAddress>,
    /// The name that they know the master by.
    pub(super) master: String,
    /// Who logs in to them: not the user of the master.
    pub(super) login: Login,
    pub(super) redaction: Redaction,
}

impl Sentinels {
    /// The address of the master.
    ///
    /// # Errors
    /// When no sentinel names it.
    pub(super) async fn master(
        &self,
        cx: &Context,
        tls: Option<&TlsClient>,
    ) -> Result<ServerAddress, Failure> {
        let mut failures = Vec::new();
        for (index, sentinel) in self.addresses.iter().enumerate() {
            // One more share is for the master itself.
            let left = self.addresses.len() - index + 1;
            match attempt(cx, left, self.ask(cx, tls, sentinel)).await {
                Ok(master) => return Ok(master),
                Err(failure) => failures.push(failure),
            }
        }
        Err(most_telling("sentinels", failures))
    }

    async fn ask(
        &self,
        cx: &Context,
        tls: Option<&TlsClient>,
        sentinel: &ServerAddress,
    ) -> Result<ServerAddress, Failure> {
        let stream = sentinel.open(cx, tls).await?;
        let mut connection = Connection::new(sentinel, stream, &self.redaction);
        let question = ["SENTINEL", "get-master-addr-by-name", &self.master];
        let reply = async {
            connection.begin(&self.login, &question).await?;
            connection.answer(&self.login, &question).await
        };
        let reply = cx.phase(Phase::Request, reply).await;
        let Reply::List(words) = reply.inspect_err(|_| connection.record_error(cx))? else {
            let text = format!("{sentinel} knows no master of that name");
            return Err(Failure::new(Reason::QueryFailed, text));
        };
        address(&words).ok_or_else(|| {
            let text = format!("{sentinel} does not tell the address of the master");
            Failure::new(Reason::Protocol, text)
        })
    }
}

/// The address in the two words that a sentinel answers.
fn address(words: &[String]) -> Option<ServerAddress> {
    let [host, port] = words else { return None };
    Endpoint::parse_or(host, port.parse().ok().filter(|port| *port != 0)?)
        .ok()
        .map(ServerAddress::Tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_is_a_host_and_a_port() {
        let shown = |words: [&str; 2]| address(&words.map(str::to_owned)).map(|a| a.to_string());
        assert_eq!(shown(["10.0.0.1", "6379"]).as_deref(), Some("10.0.0.1:6379"));
        assert_eq!(shown(["fd00::1", "6379"]).as_deref(), Some("[fd00::1]:6379"));
        assert_eq!(shown(["redis.example", "1"]).as_deref(), Some("redis.example:1"));
        for wrong in [["10.0.0.1", "0"], ["10.0.0.1", "x"], ["", "6379"]] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
        assert_eq!(address(&["10.0.0.1".to_owned()]), None);
    }
}
