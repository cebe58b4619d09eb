//! Parses the answer to `stats` and records the measurements.

use crate::engine::check::Context;
use crate::model::Measurement;

/// How full the memory is that the server may use.
pub(super) static MEMORY: Measurement =
    Measurement { name: "memory_ratio", help: "Used memory divided by the server's memory limit." };

/// How many connections the server has open.
pub(super) static CONNECTIONS: Measurement =
    Measurement { name: "connections", help: "Connections that clients hold to a server." };

/// The recorded statistics, as far as the server reports them.
#[derive(Debug, Default)]
pub(super) struct Stats {
    bytes: Option<f64>,
    limit: Option<f64>,
    connections: Option<f64>,
}

impl Stats {
    /// Reads the part of a line after `STAT `.
    pub(super) fn add(&mut self, stat: &str) {
        let Some((name, value)) = stat.split_once(' ') else { return };
        let figure = match name {
            "bytes" => &mut self.bytes,
            "limit_maxbytes" => &mut self.limit,
            "curr_connections" => &mut self.connections,
            _ => return,
        };
        *figure = value.trim().parse::<u64>().ok().map(|number| number as f64);
    }

    /// Measures the figures of the run.
    pub(super) fn measure(&self, cx: &Context) {
        if let (Some(bytes), Some(limit)) = (self.bytes, self.limit.filter(|limit| *limit > 0.0)) {
            cx.measure(&MEMORY, bytes / limit);
        }
        if let Some(connections) = self.connections {
            cx.measure(&CONNECTIONS, connections);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn figures(stats: &[&str]) -> Vec<(&'static str, f64)> {
        let mut read = Stats::default();
        for stat in stats {
            read.add(stat);
        }
        let cx = Context::new(Instant::now(), None);
        read.measure(&cx);
        cx.take_observed().measurements.into_iter().map(|(m, value)| (m.name, value)).collect()
    }

    #[test]
    fn memory_is_a_share_of_what_the_server_may_use() {
        let all = ["limit_maxbytes 200", "bytes 50", "curr_connections 2", "pid 7", "x"];
        assert_eq!(figures(&all), [("memory_ratio", 0.25), ("connections", 2.0)]);
        // There is no ratio without a limit, with a limit of 0, or if a value is not a number.
        for few in [&["bytes 50"][..], &["bytes 50", "limit_maxbytes 0"], &["bytes many"]] {
            assert_eq!(figures(few), []);
        }
    }
}
