//! The fields of `INFO`, and what must hold of them.
//!
//! # Replication lag
//! The figure counts bytes of the replication stream. A replica reports what it has received and
//! not applied yet. A master reports what its slowest connected replica has not acknowledged. The
//! time since a replica last heard of its master is silence, not lag: an idle master writes only
//! every ten seconds.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::engine::check::{Context, Detail, Failure};
use crate::model::{Measurement, Reason};

/// How full the memory is that the server may use.
pub(super) static MEMORY: Measurement =
    Measurement { name: "memory_ratio", help: "Used memory divided by the server's memory limit." };

/// How far a replica is behind, in bytes.
pub(super) static REPLICATION_LAG: Measurement = Measurement {
    name: "replication_lag_bytes",
    help: "Bytes of the replication stream that a replica, or the slowest replica of a master, has not applied.",
};

/// The role of a server in replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RedisRole")]
pub(super) enum Role {
    /// It takes writes.
    Master,
    /// It follows a master.
    Replica,
}

impl Role {
    /// The role as `INFO` has it.
    const fn reported(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "slave",
        }
    }

    /// The role as the configuration has it.
    const fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }

    /// A role from `INFO`, for people.
    fn shown(reported: &str) -> &'static str {
        match reported {
            "master" => "master",
            "slave" => "replica",
            _ => "server of another role",
        }
    }
}

/// What must hold of a server that answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expect {
    pub(super) role: Option<Role>,
    pub(super) max_memory_ratio: Option<f64>,
    /// A sentinel named the server as the master.
    pub(super) is_named_master: bool,
}

/// The text of a section of `INFO`, or why there is none.
type Section = Result<String, Failure>;

impl Expect {
    /// Judges the sections `replication` and `memory` of the server called `name`, and measures
    /// their figures.
    pub(super) fn judge(
        self,
        cx: &Context,
        name: &str,
        [replication, memory]: [Section; 2],
    ) -> Result<Detail, Failure> {
        if self.role.is_some() {
            needed(&replication, "expect.role")?;
        }
        if self.max_memory_ratio.is_some() {
            needed(&memory, "max_memory_ratio")?;
        }
        let info = Info([replication, memory].map(Result::unwrap_or_default).join("\n"));
        self.judge_info(cx, name, &info)
    }

    fn judge_info(self, cx: &Context, name: &str, info: &Info) -> Result<Detail, Failure> {
        let ratio = info.memory_ratio();
        if let Some(ratio) = ratio {
            cx.measure(&MEMORY, ratio);
        }
        if let Some(bytes) = info.replication_lag() {
            cx.measure(&REPLICATION_LAG, bytes);
        }
        if let Some(role) = self.role {
            info.check_role(name, role)?;
        } else if self.is_named_master && info.text("role") == Some(Role::Replica.reported()) {
            let text = format!("{name} is a replica, and a sentinel names it as the master");
            return Err(Failure::new(Reason::NotServing, text).answered());
        }
        if let Some(max) = self.max_memory_ratio {
            let failed = |reason, text| Err(Failure::new(reason, text).answered());
            if !info.has_memory() {
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

/// The failure of a section that `option` needs.
fn needed(section: &Section, option: &str) -> Result<(), Failure> {
    let Err(failure) = section else { return Ok(()) };
    let text = format!("{}; {option} needs INFO", failure.message());
    Err(Failure { message: text, ..failure.clone() })
}

/// The fields of `INFO`.
#[derive(Debug, Default)]
pub(super) struct Info(pub(super) String);

impl Info {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok()
    }

    /// The failure of a server that has another role, or reports none.
    fn check_role(&self, name: &str, role: Role) -> Result<(), Failure> {
        let (reason, text) = match self.text("role") {
            Some(reported) if reported == role.reported() => return Ok(()),
            Some(reported) => {
                let text = format!("{name} is a {}, not a {}", Role::shown(reported), role.word());
                (Reason::UnexpectedStatus, text)
            }
            None => (Reason::UnexpectedBody, format!("{name} does not tell its role")),
        };
        Err(Failure::new(reason, text).answered())
    }

    fn has_memory(&self) -> bool {
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

    /// How many bytes a replica is behind; `None` when the server does not know.
    fn replication_lag(&self) -> Option<f64> {
        let offset = self.number("master_repl_offset");
        let behind = match self.text("role")? {
            "slave" if self.link_is_up() => {
                // Since 7.0 a replica also reports what it has read and not applied.
                let received = self.number("slave_read_repl_offset").or(offset)?;
                received - self.number("slave_repl_offset")?
            }
            "master" => offset? - self.acknowledged().reduce(f64::min)?,
            _ => return None,
        };
        Some(behind.max(0.0))
    }

    /// The offsets that the replicas of a master have acknowledged, such as
    /// `slave0:ip=10.0.0.2,port=6379,state=online,offset=1234,lag=0`. A replica that is still being
    /// synchronized has none.
    fn acknowledged(&self) -> impl Iterator<Item = f64> {
        let replicas = self.0.lines().filter_map(|line| {
            let (name, fields) = line.split_once(':')?;
            let number = name.strip_prefix("slave")?;
            (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(fields)
        });
        replicas.filter_map(|fields| {
            let field = |name: &str| {
                fields
                    .trim()
                    .split(',')
                    .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            };
            if field("state") == Some("online") { field("offset")?.parse().ok() } else { None }
        })
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

    fn judge_sections(
        expect: Expect,
        sections: [Section; 2],
    ) -> (Result<Detail, Failure>, Vec<(&'static str, f64)>) {
        let cx = Context::new(Instant::now(), None);
        let verdict = expect.judge(&cx, "cache:6379", sections);
        let figures = cx.take_observed().measurements;
        (verdict, figures.into_iter().map(|(m, value)| (m.name, value)).collect())
    }

    fn judge(expect: Expect, text: &str) -> (Result<Detail, Reason>, Vec<(&'static str, f64)>) {
        let text = Ok(text.replace(' ', "\r\n"));
        let (verdict, figures) = judge_sections(expect, [text, Ok(String::new())]);
        (verdict.map_err(|failure| failure.reason()), figures)
    }

    #[test]
    fn the_share_of_the_memory_is_a_figure_and_has_a_bound() {
        let half = "used_memory:50 maxmemory:100";
        let upto = |max| Expect { max_memory_ratio: Some(max), ..Expect::default() };
        assert_eq!(judge(upto(0.5), half), (Ok(Detail::ok()), vec![("memory_ratio", 0.5)]));
        assert_eq!(judge(upto(0.4), half), (Err(Reason::OutOfRange), vec![("memory_ratio", 0.5)]));
        assert_eq!(judge(upto(0.4), "used_memory:50 maxmemory:0"), (Ok(Detail::ok()), vec![]));
        assert_eq!(judge(upto(0.4), "role:master"), (Err(Reason::UnexpectedBody), vec![]));
        // A field that merely starts with the name is another.
        assert_eq!(judge(upto(0.4), "used_memory_rss:1 maxmemory:1").1, vec![]);
    }

    #[test]
    fn a_role_that_is_not_reported_is_not_the_one_expected() {
        let master = Expect { role: Some(Role::Master), ..Expect::default() };
        assert_eq!(judge(master, "role:master").0, Ok(Detail::ok()));
        assert_eq!(judge(master, "role:slave").0, Err(Reason::UnexpectedStatus));
        assert_eq!(judge(master, "").0, Err(Reason::UnexpectedBody));
    }

    #[test]
    fn a_section_that_is_missing_fails_only_the_option_that_needs_it() {
        let missing = || Err(Failure::new(Reason::AuthFailed, "INFO: NOPERM"));
        let master = Expect { role: Some(Role::Master), ..Expect::default() };
        let bounded = Expect { max_memory_ratio: Some(0.5), ..Expect::default() };
        let replication = || Ok("role:master".to_owned());
        let memory = || Ok("used_memory:1\r\nmaxmemory:100".to_owned());
        for (expect, sections, needs) in [
            (Expect::default(), [missing(), missing()], None),
            (master, [replication(), missing()], None),
            (bounded, [missing(), memory()], None),
            (master, [missing(), memory()], Some("INFO: NOPERM; expect.role needs INFO")),
            (
                bounded,
                [replication(), missing()],
                Some("INFO: NOPERM; max_memory_ratio needs INFO"),
            ),
        ] {
            let (verdict, _) = judge_sections(expect, sections);
            assert_eq!(verdict.err().map(|f| f.message), needs.map(str::to_owned), "{expect:?}");
        }
    }

    #[test]
    fn a_link_that_is_down_is_a_caveat_with_its_age() {
        for (text, caveat) in [
            ("master_link_down_since_seconds:7", "the replication link is down for 7 s"),
            ("master_link_down_since_seconds:-1", "the replication link is down"),
            (
                "master_sync_in_progress:1",
                "the replication link is down; the replica is being synchronized",
            ),
        ] {
            let text = format!(
                "role:slave master_link_status:down master_last_io_seconds_ago:-1 \
                 slave_read_repl_offset:9 slave_repl_offset:5 {text}"
            );
            assert_eq!(judge(Expect::default(), &text), (Ok(Detail::warning(caveat)), vec![]));
        }
    }

    #[test]
    fn the_lag_counts_bytes_and_silence_is_none() {
        let slave = "role:slave master_link_status:up master_last_io_seconds_ago:9";
        for (text, lag) in [
            // Before 7.0, and since.
            (format!("{slave} slave_repl_offset:90 master_repl_offset:100"), Some(10.0)),
            (
                format!("{slave} slave_read_repl_offset:150 slave_repl_offset:100 master_repl_offset:100"),
                Some(50.0),
            ),
            (slave.to_owned(), None),
            ("role:master master_repl_offset:100".to_owned(), None),
            (
                "role:master slave0:ip=a,port=1,state=online,offset=90,lag=0 \
                 slave1:ip=b,port=1,state=online,offset=70,lag=1 \
                 slave2:ip=c,port=1,state=wait_bgsave,offset=0,lag=0 master_repl_offset:100"
                    .to_owned(),
                Some(30.0),
            ),
            // It has acknowledged more than it was sent when the figures were taken.
            (
                "role:master slave0:ip=a,port=1,state=online,offset=101,lag=0 master_repl_offset:100"
                    .to_owned(),
                Some(0.0),
            ),
        ] {
            let figures: Vec<_> = lag.map(|lag| ("replication_lag_bytes", lag)).into_iter().collect();
            assert_eq!(judge(Expect::default(), &text), (Ok(Detail::ok()), figures), "{text}");
        }
    }
}
