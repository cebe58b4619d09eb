//! A client of `/events` that reads one server-sent event after the other.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;

use super::http::{Answer, Client};

/// Far longer than anything takes; an event that never comes fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_mins(1);

/// One event as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) retry: Option<u64>,
    pub(crate) data: Value,
}

impl Event {
    fn read(block: &str) -> Self {
        let fields = |wanted: &str| {
            let lines = block.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(name, _)| *name == wanted).map(|(_, value)| value).collect::<Vec<_>>()
        };
        let number = |name: &str| fields(name).first().map(|text| text.parse().expect("a number"));
        let known = ["event: ", "id: ", "retry: ", "data: "];
        let strange = block.lines().find(|line| !known.iter().any(|name| line.starts_with(name)));
        assert_eq!(strange, None, "{block}");
        assert_eq!(fields("data").len(), 1, "one line of data: {block}");
        Self {
            name: fields("event").concat(),
            id: number("id"),
            retry: number("retry"),
            data: serde_json::from_str(fields("data")[0]).expect("JSON"),
        }
    }
}

/// Where a stream's bytes come from.
#[derive(Debug)]
enum Source {
    Wire(Client),
    Body(Body),
}

impl Source {
    /// More of the text; `None` at its end.
    async fn more(&mut self) -> Option<String> {
        match self {
            Self::Wire(client) => client.chunk().await.expect("the stream is not cut"),
            Self::Body(body) => {
                let frame = body.frame().await?.expect("the stream is not cut");
                let data = frame.into_data().expect("no trailers");
                Some(String::from_utf8(data.into()).expect("text"))
            }
        }
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    source: Source,
    unread: String,
}

impl EventStream {
    /// Opens a stream of the server.
    pub(crate) async fn open(server: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let (head, stream) = Self::ask(server, headers).await;
        assert_eq!(head.status, 200, "{head:?}");
        stream
    }

    /// Asks the server for a stream, and reads the head of the answer.
    pub(crate) async fn ask(server: SocketAddr, headers: &[(&str, &str)]) -> (Answer, Self) {
        let mut client = Client::connect(server).await;
        let mut request = "GET /events HTTP/1.1\r\nhost: test\r\n".to_owned();
        for (name, value) in headers {
            request = request + name + ": " + value + "\r\n";
        }
        client.send(request + "\r\n").await;
        let head = timeout(PATIENCE, client.head()).await.expect("an answer in time");
        let stream = Self { source: Source::Wire(client), unread: String::new() };
        (head.expect("an answer"), stream)
    }

    /// Reads the body of an answer.
    pub(crate) const fn of(body: Body) -> Self {
        Self { source: Source::Body(body), unread: String::new() }
    }

    /// The next event; `None` when the stream has ended as it should.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let event = Event::read(block);
                let read = self.unread.len() - rest.len();
                self.unread.drain(..read);
                return Some(event);
            }
            let more = timeout(PATIENCE, self.source.more()).await.expect("an event in time");
            let Some(text) = more else {
                assert_eq!(self.unread, "", "half an event at the end");
                return None;
            };
            self.unread.push_str(&text);
        }
    }

    /// The next event, which is to come.
    pub(crate) async fn event(&mut self) -> Event {
        self.next().await.expect("the stream goes on")
    }

    /// The next event of this name; others are passed over.
    pub(crate) async fn next_of(&mut self, name: &str) -> Event {
        self.first(name, |_| true).await
    }

    /// The next summary with this status.
    pub(crate) async fn summary_of(&mut self, status: &str) -> Event {
        self.first("summary", |data| data["status"] == status).await
    }

    /// The next event of this name with such data, which is to come in time.
    async fn first(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Event {
        let found = async {
            loop {
                let event = self.event().await;
                if event.name == name && wanted(&event.data) {
                    return event;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no such {name} in time"))
    }

    /// Reads on until the stream ends.
    pub(crate) async fn ends(&mut self) {
        while self.next().await.is_some() {}
    }
}
