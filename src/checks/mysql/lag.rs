//! How far a replica lags, behind each of its sources.

use super::connection::{Connection, Row};
use super::error::{PARSE_ERROR, Trouble};
use crate::checks::sql::lag::Lag;

/// Asks how far the server lags, by the newest statement that it knows; none where it is no
/// replica.
pub(super) async fn ask(conn: &mut Connection) -> Result<Option<Lag>, Trouble> {
    for sql in STATUS {
        match conn.rows(sql).await {
            Err(Trouble::Refused { number: PARSE_ERROR, .. }) => {}
            rows => return Ok(worst(&rows?.iter().map(source).collect::<Vec<_>>())),
        }
    }
    let rows = conn.rows(OLDEST_STATUS).await?;
    Ok(worst(&rows.iter().map(source).collect::<Vec<_>>()))
}

/// What shows every source of a replica, the newest form first: MariaDB's two, then MySQL's, which
/// shows every channel. On MariaDB the last two show only the connection without a name.
const STATUS: [&str; 3] =
    ["SHOW ALL REPLICAS STATUS", "SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS"];

/// What every server knows.
const OLDEST_STATUS: &str = "SHOW SLAVE STATUS";

/// One source that a replica follows.
#[derive(Debug, Clone, Default)]
struct Source {
    /// Name of the connection or channel; empty for the one without a name.
    name: String,
    /// Seconds behind it; none while it is not followed.
    seconds: Option<f64>,
    /// States of the two threads that follow it.
    threads: [String; 2],
}

fn source(row: &Row) -> Source {
    // Neither name stands in the answers of old servers, which know one source alone.
    let text = |[new, old]: [&str; 2]| row.get(new).or_else(|| row.get(old)).cloned();
    Source {
        name: text(["Connection_name", "Channel_Name"]).unwrap_or_default(),
        seconds: text(["Seconds_Behind_Source", "Seconds_Behind_Master"])
            .and_then(|text| text.parse().ok()),
        threads: [
            ["Replica_IO_Running", "Slave_IO_Running"],
            ["Replica_SQL_Running", "Slave_SQL_Running"],
        ]
        .map(|names| text(names).unwrap_or_default()),
    }
}

/// The lag behind the source that is worst: all that are not followed, else the largest; none
/// without a source.
fn worst(sources: &[Source]) -> Option<Lag> {
    let stopped: Vec<String> = sources
        .iter()
        .filter(|source| source.seconds.is_none())
        .map(|Source { name, threads: [io, sql], .. }| {
            let name = if name.is_empty() { String::new() } else { format!("`{name}` ") };
            format!("{name}(I/O thread {io}, SQL thread {sql})")
        })
        .collect();
    if !stopped.is_empty() {
        let text = format!("replication is not running: {}", stopped.join(", "));
        return Some(Lag::Stopped(text));
    }
    let behind = sources.iter().filter_map(|source| Some((source.seconds?, &source.name)));
    let largest = behind.max_by(|(one, _), (other, _)| one.total_cmp(other));
    largest.map(|(seconds, name)| {
        let source = (!name.is_empty()).then(|| name.clone());
        Lag::Seconds { seconds, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_sources_counts_and_is_named() {
        let source = |name: &str, seconds| Source {
            name: name.to_owned(),
            seconds,
            threads: ["Connecting".to_owned(), "Yes".to_owned()],
        };
        assert_eq!(worst(&[]), None);
        assert_eq!(worst(&[source("", Some(0.0))]), Some(Lag::seconds(0.0)));
        let several = [source("", Some(1.0)), source("m2", Some(7.0)), source("m3", Some(2.0))];
        let wanted = Lag::Seconds { seconds: 7.0, source: Some("m2".to_owned()) };
        assert_eq!(worst(&several), Some(wanted));
        let broken = [source("m1", None), source("m2", Some(0.0)), source("m3", None)];
        let threads = "(I/O thread Connecting, SQL thread Yes)";
        let text = format!("replication is not running: `m1` {threads}, `m3` {threads}");
        assert_eq!(worst(&broken), Some(Lag::Stopped(text)));
    }
}
