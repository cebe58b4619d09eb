//! A sketch of durations (DDSketch): counts in buckets, for quantiles.
//!
//! Buckets grow by a constant factor, as in "DDSketch: a fast and fully-mergeable quantile sketch
//! with relative-error guarantees" (Masson, Rim and Lee, VLDB 2019): a quantile is off by 2 % at
//! most, and merging two sketches is the same as having recorded both.

use super::varint::{Reader, write};

/// Largest relative error of a quantile.
pub(super) const ERROR: f64 = 0.02;

/// Ratio of the upper bounds of two buckets in a row.
const GROWTH: f64 = (1.0 + ERROR) / (1.0 - ERROR);

/// First byte of a stored sketch: what follows are, for each bucket by rising index, the distance
/// from the index before and the count, both as varints.
const VERSION: u8 = 1;

/// Counts by bucket, of those that are not empty, sorted by index.
///
/// Bucket `k` holds the microseconds above `GROWTH^(k-1)` up to `GROWTH^k`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sketch(Vec<(u16, u32)>);

impl Sketch {
    /// Records a duration in microseconds so many times; none counts as one.
    pub(super) fn record(&mut self, micros: u64, times: u32) {
        self.add(index(micros), times);
    }

    fn add(&mut self, index: u16, count: u32) {
        match self.0.binary_search_by_key(&index, |(i, _)| *i) {
            Ok(at) => {
                if let Some((_, sum)) = self.0.get_mut(at) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(at) => {
                // Most checks have a handful of lengths; doubling would waste half of it.
                self.0.reserve_exact(if self.0.len() == self.0.capacity() { 4 } else { 0 });
                self.0.insert(at, (index, count));
            }
        }
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (index, count) in &other.0 {
            self.add(*index, *count);
        }
    }

    /// The quantile `q`, from 0 to 1, in microseconds; `None` of an empty sketch.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let all: u64 = self.0.iter().map(|(_, count)| u64::from(*count)).sum();
        let mut left = (q * all as f64).ceil().max(1.0);
        let last = self.0.last()?;
        let found = self.0.iter().find(|(_, count)| {
            left -= f64::from(*count);
            left <= 0.0
        });
        let (index, _) = found.unwrap_or(last);
        // The value with the same relative distance to both ends of the bucket.
        Some(2.0 * GROWTH.powi(i32::from(*index)) / (GROWTH + 1.0))
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 3 * self.0.len());
        bytes.push(VERSION);
        let mut before = 0;
        for (index, count) in &self.0 {
            write(&mut bytes, u64::from(index - before));
            write(&mut bytes, u64::from(*count));
            before = *index;
        }
        bytes
    }

    /// Reads the stored form; `None` of anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Some((&version, rest)) = bytes.split_first() else { return Some(Self::default()) };
        if version != VERSION {
            return None;
        }
        let mut reader = Reader::new(rest);
        let mut buckets = Vec::new();
        let mut before: u16 = 0;
        while !reader.is_empty() {
            let step = u16::try_from(reader.read()?).ok()?;
            if step == 0 && !buckets.is_empty() {
                return None;
            }
            before = before.checked_add(step)?;
            buckets.push((before, u32::try_from(reader.read()?).ok()?));
        }
        Some(Self(buckets))
    }
}

/// The bucket of a duration.
fn index(micros: u64) -> u16 {
    let exact = (micros.max(1) as f64).ln() / GROWTH.ln();
    // 2^64 µs are bucket 1109.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 1109")]
    let index = exact.ceil() as u16;
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(durations: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        for duration in durations {
            sketch.record(*duration, 1);
        }
        sketch
    }

    #[test]
    fn an_empty_sketch_has_no_quantiles() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(Sketch::decode(&[]), Some(Sketch::default()));
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        for bytes in [&[0][..], &[2, 1, 1], &[1, 1], &[1, 1, 1, 0, 1], &[1, 0x80]] {
            assert_eq!(Sketch::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_typical_minute_takes_a_few_bytes() {
        let minute = of(&[4_100, 4_200, 4_350, 4_000, 5_100, 4_150]);
        assert!(minute.encode().len() <= 12, "{:?}", minute.encode());
    }

    proptest! {
        #[test]
        fn quantiles_are_off_by_the_error_at_most(
            mut durations in prop::collection::vec(1u64..40_000_000_000, 1..300), q in 0.0f64..=1.0,
        ) {
            let found = of(&durations).quantile(q).expect("not empty");
            durations.sort_unstable();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
            let rank = ((q * durations.len() as f64).ceil() as usize).max(1);
            let exact = durations[rank - 1] as f64;
            prop_assert!((found - exact).abs() <= exact * (ERROR + 1e-9), "{found} for {exact}");
        }

        #[test]
        fn merging_is_recording_both(
            a in prop::collection::vec(0u64..10_000_000, 0..100),
            b in prop::collection::vec(0u64..10_000_000, 0..100),
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(&merged, &of(&[a, b].concat()));
            prop_assert_eq!(Sketch::decode(&merged.encode()), Some(merged));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Sketch::decode(&bytes);
        }
    }
}
