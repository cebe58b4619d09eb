//! The compact storage format of single runs: a few bytes each.

use super::rollup::{HistoryRun, Millis, Width};
use super::varint::{Reader, write};
use crate::model::{Outcome, Status};

/// Number of low bits of a check's id that select the row (shard).
const SHARD: i64 = 64;

/// The row, among those of one flush, that the runs of the check `id` are stored in.
pub(super) const fn shard(id: i64) -> i64 {
    id.div_euclid(SHARD)
}

/// Flag in the trailing byte: a repeat count follows.
const SEVERAL: u8 = 1 << 6;

/// Calls whose durations differ by less than this ratio are stored as one.
const COARSE: f64 = 1.2;

/// The calls, sorted by outcome and duration; calls of nearly the same duration are merged, because
/// a busy host has calls of a hundred durations each second.
pub(super) fn coarse(calls: Vec<HistoryRun>) -> Vec<HistoryRun> {
    let mut groups: Vec<(HistoryRun, u64)> = Vec::new();
    for call in calls {
        match groups.last_mut() {
            Some((group, shortest))
                if group.outcome == call.outcome
                    && call.micros as f64 <= *shortest as f64 * COARSE =>
            {
                let times = group.times.saturating_add(call.times);
                let sum = u128::from(group.micros) * u128::from(group.times)
                    + u128::from(call.micros) * u128::from(call.times);
                group.micros = u64::try_from(sum / u128::from(times.max(1))).unwrap_or(call.micros);
                group.times = times;
            }
            _ => groups.push((call, call.micros)),
        }
    }
    groups.into_iter().map(|(group, _)| group).collect()
}

/// Appends a run: its time of day, its duration, a byte for the rest, and how many there were of it
/// if that is more than one.
pub(super) fn append(bytes: &mut Vec<u8>, run: &HistoryRun) {
    let of_day = run.at.rem_euclid(Width::Day.millis());
    write(bytes, u64::try_from(of_day).unwrap_or(0));
    write(bytes, run.micros);
    let maintenance = u8::from(run.maintenance) << 5;
    let several = if run.times == 1 { 0 } else { SEVERAL };
    bytes.push(run.outcome as u8 | (run.status as u8) << 3 | maintenance | several);
    if several > 0 {
        write(bytes, run.times.into());
    }
}

/// The runs of one check that were written at about `near`.
pub(super) fn decode(bytes: &[u8], near: Millis) -> Option<Vec<HistoryRun>> {
    let mut reader = Reader::new(bytes);
    let mut runs = Vec::new();
    while !reader.is_empty() {
        let of_day = i64::try_from(reader.read()?).ok()?;
        let micros = reader.read()?;
        let rest = reader.byte()?;
        runs.push(HistoryRun {
            at: nearest(of_day, near),
            micros,
            outcome: *Outcome::ALL.get(usize::from(rest & 7))?,
            status: *Status::ALL.get(usize::from(rest >> 3 & 3))?,
            maintenance: rest >> 5 & 1 == 1,
            times: match rest & SEVERAL {
                0 => 1,
                _ => u32::try_from(reader.read()?).ok()?,
            },
        });
    }
    Some(runs)
}

/// The time nearest to `near` that is `of_day` on its day.
fn nearest(of_day: Millis, near: Millis) -> Millis {
    let day = Width::Day.millis();
    let today = Width::Day.floor(near) + of_day;
    match today - near {
        late if late > day / 2 => today - day,
        early if early < -day / 2 => today + day,
        _ => today,
    }
}

/// Appends the runs of the check `id` to a shard.
pub(super) fn append_to_shard(shard: &mut Vec<u8>, id: i64, runs: &[u8]) {
    write(shard, u64::try_from(id).unwrap_or(0));
    write(shard, runs.len() as u64);
    shard.extend_from_slice(runs);
}

/// Each check's id in a shard, with its runs.
pub(super) fn each_in_shard(shard: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
    let mut reader = Reader::new(shard);
    std::iter::from_fn(move || {
        let id = i64::try_from(reader.read()?).ok()?;
        let length = usize::try_from(reader.read()?).ok()?;
        Some((id, reader.bytes(length)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Millis = 1_789_000_000_000;

    proptest! {
        #[test]
        fn runs_are_read_as_they_were_written(
            runs in prop::collection::vec(
                (-7_200_000i64..60_000, any::<u64>(), 0usize..5, 0usize..4, any::<bool>(), any::<u32>()),
                0..20),
            near in NOW..NOW + Width::Day.millis(),
        ) {
            let runs: Vec<HistoryRun> = runs
                .into_iter()
                .map(|(age, micros, outcome, status, maintenance, times)| HistoryRun {
                    at: near + age,
                    micros,
                    outcome: Outcome::ALL[outcome],
                    status: Status::ALL[status],
                    maintenance,
                    times,
                })
                .collect();
            let mut bytes = Vec::new();
            for run in &runs {
                append(&mut bytes, run);
            }
            let mut shard = Vec::new();
            append_to_shard(&mut shard, 65, &bytes);
            append_to_shard(&mut shard, 66, &[]);
            let found: Vec<_> = each_in_shard(&shard).collect();
            prop_assert_eq!(found, [(65, &bytes[..]), (66, &[][..])]);
            prop_assert_eq!(decode(&bytes, near), Some(runs));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes, NOW);
            each_in_shard(&bytes).for_each(drop);
        }
    }

    #[test]
    fn calls_of_about_the_same_length_are_kept_as_one() {
        let call = |outcome, micros, times| HistoryRun {
            at: NOW,
            micros,
            outcome,
            status: Status::Up,
            maintenance: false,
            times,
        };
        let (good, bad) = (Outcome::Success, Outcome::Failure);
        let calls = vec![
            call(good, 1_000, 3),
            call(good, 1_200, 1),
            call(good, 1_300, 1),
            call(bad, 1_300, 2),
        ];
        let kept = [call(good, 1_050, 4), call(good, 1_300, 1), call(bad, 1_300, 2)];
        assert_eq!(coarse(calls), kept);
    }

    #[test]
    fn a_run_takes_eight_bytes() {
        let mut bytes = Vec::new();
        let run = HistoryRun {
            at: NOW,
            micros: 4_100,
            outcome: Outcome::Success,
            status: Status::Up,
            maintenance: false,
            times: 1,
        };
        append(&mut bytes, &run);
        assert!(bytes.len() <= 8, "{bytes:?}");
    }
}
