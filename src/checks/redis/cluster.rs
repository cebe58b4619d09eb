//! Judges a cluster by the answer of one node to `CLUSTER INFO`.

use crate::engine::check::{Detail, Failure};
use crate::model::Reason;

use super::info::Info;

/// How many slots the keys of a cluster are spread over.
const SLOTS: f64 = 16384.0;

/// Judges the `text` that the node called `name` answers.
///
/// A cluster whose state is not `ok` serves no keys. With `cluster-require-full-coverage no` it
/// serves a part of its slots, which is a warning.
pub(super) fn judge(name: &str, text: &str) -> Result<Detail, Failure> {
    let info = Info(text.to_owned());
    let failed = |reason, text| Err(Failure::new(reason, text).answered());
    let served = info.number("cluster_slots_ok");
    let slots = served.map(|served| format!("{served} of {SLOTS} hash slots are served"));
    match info.text("cluster_state") {
        Some("ok") => match (served, slots) {
            (Some(served), Some(slots)) if served < SLOTS => {
                Ok(Detail::warning(format!("only {slots}")))
            }
            _ => Ok(Detail::ok()),
        },
        Some(_) => {
            let slots = slots.map(|slots| format!("; {slots}")).unwrap_or_default();
            failed(Reason::NotServing, format!("{name} reports that its cluster is down{slots}"))
        }
        None => {
            let text = format!("{name} does not tell the state of its cluster");
            failed(Reason::UnexpectedBody, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_decides_and_missing_slots_are_a_caveat() {
        let all = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n";
        assert_eq!(judge("a:1", all), Ok(Detail::ok()));
        assert_eq!(judge("a:1", "cluster_state:ok\r\n"), Ok(Detail::ok()));
        let some = judge("a:1", &all.replace("ok:16384", "ok:10923"));
        assert_eq!(some, Ok(Detail::warning("only 10923 of 16384 hash slots are served")));
        for (text, reason, message) in [
            (
                "cluster_state:fail\r\ncluster_slots_ok:5\r\n",
                Reason::NotServing,
                "a:1 reports that its cluster is down; 5 of 16384 hash slots are served",
            ),
            ("cluster_state:fail", Reason::NotServing, "a:1 reports that its cluster is down"),
            ("", Reason::UnexpectedBody, "a:1 does not tell the state of its cluster"),
        ] {
            let failure = judge("a:1", text).expect_err(text);
            assert_eq!((failure.reason(), failure.message()), (reason, message));
        }
    }
}
