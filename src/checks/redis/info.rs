//! What `INFO` tells of a server, and how it is judged.

use crate::checks::replication::REPLICATION_LAG;
use crate::engine::check::{Context, Detail, Failure};
use crate::model::{Measurement, Reason};

use super::options::Role;

/// How full the memory is that the server may use.
pub(super) static MEMORY: Measurement = Measurement {
    name: "memory_ratio",
    help: "Share of the memory that a server may use that it uses.",
};

/// What must hold of a server beyond its answering.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expect {
    pub(super) role: Option<Role>,
    pub(super) max_memory_ratio: Option<f64>,
}

impl Expect {
    /// Whether the server must tell about itself.
    pub(super) fn needs_info(self) -> bool {
        self.role.is_some() || self.max_memory_ratio.is_some()
    }

    /// Judges `info` of the server called `name`, and notes its figures.
    pub(super) fn judge(self, cx: &Context, name: &str, info: &Info) -> Result<Detail, Failure> {
        let ratio = info.memory_ratio();
        if let Some(ratio) = ratio {
            cx.measure(&MEMORY, ratio);
        }
        let lag = info.number("master_last_io_seconds_ago").filter(|seconds| *seconds >= 0.0);
        if let Some(seconds) = lag.filter(|_| info.link_is_up()) {
            cx.measure(&REPLICATION_LAG, seconds);
        }
        let failed = |reason, text| Err(Failure::new(reason, text).answered());
        if let Some(role) = self.role {
            match info.text("role") {
                Some(told) if told == role.told() => {}
                Some(told) => {
                    let told = Role::shown(told);
                    let text = format!("{name} is a {told}, not a {}", role.word());
                    return failed(Reason::UnexpectedStatus, text);
                }
                None => {
                    return failed(
                        Reason::UnexpectedBody,
                        format!("{name} does not tell its role"),
                    );
                }
            }
        }
        if let Some(max) = self.max_memory_ratio {
            if !info.tells_memory() {
                let text = format!("{name} does not tell how much memory it uses");
                return failed(Reason::UnexpectedBody, text);
            }
            if let Some(ratio) = ratio.filter(|ratio| *ratio > max) {
                let text = format!("{name} uses {ratio:.3} of its memory, more than {max}");
                return failed(Reason::OutOfRange, text);
            }
        }
        Ok(info.link_caveat().map_or_else(Detail::ok, Detail::warning))
    }
}

/// The fields of `INFO`.
#[derive(Debug, Default)]
pub(super) struct Info(String);

impl Info {
    /// Takes in a section.
    pub(super) fn add(&mut self, section: &str) {
        self.0.push_str(section);
        self.0.push('\n');
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok()
    }

    fn tells_memory(&self) -> bool {
        self.number("used_memory").is_some() && self.number("maxmemory").is_some()
    }

    /// The share of the limit in use; none without a limit.
    fn memory_ratio(&self) -> Option<f64> {
        let limit = self.number("maxmemory").filter(|limit| *limit > 0.0)?;
        Some(self.number("used_memory")? / limit)
    }

    fn link_is_up(&self) -> bool {
        self.text("master_link_status") == Some("up")
    }

    /// What is wrong with the link of a replica to its master.
    fn link_caveat(&self) -> Option<String> {
        self.text("master_link_status").filter(|status| *status != "up")?;
        let mut caveat = "the replication link is down".to_owned();
        if self.text("master_sync_in_progress") == Some("1") {
            caveat.push_str("; the replica is being synchronized");
        } else if let Some(since) =
            self.number("master_link_down_since_seconds").filter(|since| *since >= 0.0)
        {
            caveat = format!("{caveat} for {since} s");
        }
        Some(caveat)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn judge(expect: Expect, text: &str) -> (Result<Detail, Reason>, Vec<(&'static str, f64)>) {
        let mut info = Info::default();
        info.add(&text.replace(' ', "\r\n"));
        let cx = Context::new(Instant::now(), None);
        let verdict = expect.judge(&cx, "cache:6379", &info).map_err(|f| f.reason());
        let figures = cx.take_observed().measurements;
        (verdict, figures.into_iter().map(|(m, value)| (m.name, value)).collect())
    }

    #[test]
    fn the_share_of_the_memory_is_a_figure_and_has_a_bound() {
        let half = "used_memory:50 maxmemory:100";
        let upto = |max| Expect { max_memory_ratio: Some(max), role: None };
        assert_eq!(judge(upto(0.5), half), (Ok(Detail::ok()), vec![("memory_ratio", 0.5)]));
        assert_eq!(judge(upto(0.4), half), (Err(Reason::OutOfRange), vec![("memory_ratio", 0.5)]));
        assert_eq!(judge(upto(0.4), "used_memory:50 maxmemory:0"), (Ok(Detail::ok()), vec![]));
        assert_eq!(judge(upto(0.4), "role:master"), (Err(Reason::UnexpectedBody), vec![]));
        // A field that merely starts with the name is another.
        assert_eq!(judge(upto(0.4), "used_memory_rss:1 maxmemory:1").1, vec![]);
    }

    #[test]
    fn a_role_that_is_not_told_is_not_the_one_expected() {
        let master = Expect { role: Some(Role::Master), max_memory_ratio: None };
        assert_eq!(judge(master, "role:master").0, Ok(Detail::ok()));
        assert_eq!(judge(master, "role:slave").0, Err(Reason::UnexpectedStatus));
        assert_eq!(judge(master, "").0, Err(Reason::UnexpectedBody));
    }

    #[test]
    fn a_link_that_is_down_is_a_caveat_with_its_age() {
        let of = |text: &str| judge(Expect::default(), text);
        let up = of("master_link_status:up master_last_io_seconds_ago:3");
        assert_eq!(up, (Ok(Detail::ok()), vec![("replication_lag_seconds", 3.0)]));
        for (text, caveat) in [
            ("master_link_down_since_seconds:7", "the replication link is down for 7 s"),
            ("master_link_down_since_seconds:-1", "the replication link is down"),
            (
                "master_sync_in_progress:1",
                "the replication link is down; the replica is being synchronized",
            ),
        ] {
            let down = of(&format!("master_link_status:down master_last_io_seconds_ago:-1 {text}"));
            assert_eq!(down, (Ok(Detail::warning(caveat)), vec![]));
        }
    }
}
