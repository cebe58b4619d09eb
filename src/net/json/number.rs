//! Comparing numbers by value, however they are written.

use serde_json::Number;

/// Any decimal number with so many digits is the shortest text of the double nearest to it.
const DIGITS_OF_DOUBLE: usize = 15;

/// A decimal number: an integer without zeros at its ends, times a power of ten.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Of a number as JSON or Rust writes it.
    fn of(text: &str) -> Self {
        let negative = text.starts_with('-');
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        // No text is long enough for its digits to make up for such a power.
        let far = if power.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let power = power.strip_prefix('+').unwrap_or(power).parse().unwrap_or(far);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let all = digits.len();
        digits.truncate(digits.iter().rposition(|b| *b != b'0').map_or(0, |last| last + 1));
        let cut = all - digits.len();
        digits.drain(..digits.iter().take_while(|b| **b == b'0').count());
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        let moved = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let exponent = power.saturating_add(moved(cut)).saturating_sub(moved(fraction.len()));
        Self { negative, digits, exponent }
    }

    const fn is_integer(&self) -> bool {
        self.exponent >= 0
    }
}

/// Whether the double `nearest` to the number `text` holds all that it says.
pub(super) fn is_held(text: &str, nearest: f64) -> bool {
    let few = text.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_OF_DOUBLE;
    let zero = nearest == 0.0 && Decimal::of(text).digits.is_empty();
    few && (nearest.is_normal() || zero)
}

/// Whether the number `text` is `expected`.
///
/// An integer is compared exactly. Where a fraction is expected, the two are the same when the
/// nearest doubles are: the one who wrote the text had a double too.
pub(super) fn is_same(text: &str, expected: &Number) -> bool {
    let found = Decimal::of(text);
    // The shortest text of what is expected: most often what stands in the configuration.
    if found == Decimal::of(&expected.to_string()) {
        return true;
    }
    match expected.as_f64().filter(|_| expected.is_f64()) {
        None => false,
        // In full: from 2^53 on the shortest text of a double is another integer than its value.
        Some(double) if double.fract() == 0.0 => found == Decimal::of(&format!("{double:.0}")),
        Some(double) => !found.is_integer() && text.parse() == Ok(double),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(text: &str, expected: impl Into<serde_json::Value>) -> bool {
        let expected = expected.into();
        is_same(text, expected.as_number().expect("a number"))
    }

    #[test]
    fn integers_are_the_same_however_they_are_written() {
        for text in ["1", "1.0", "1e0", "10e-1", "0.1E+1", "1.000", "100e-2"] {
            assert!(same(text, 1) && same(text, 1.0), "{text}");
            assert!(!same(text, -1) && !same(text, 2), "{text}");
        }
        for text in ["0", "-0", "0.0", "-0e5", "0e99999999999999999999"] {
            assert!(same(text, 0) && same(text, 0.0) && same(text, -0.0), "{text}");
        }
        for text in ["1e99999999999999999999", "1e-99999999999999999999", "1e400", "1e-400"] {
            assert!(!same(text, 0) && !same(text, 0.0) && !same(text, f64::MAX), "{text}");
        }
    }

    #[test]
    fn numbers_that_a_double_cannot_hold_are_compared_exactly() {
        let above = 9_007_199_254_740_993_i64;
        assert!(same("9007199254740993", above) && same("9007199254740993.0", above));
        assert!(same("9.007199254740993e15", above));
        assert!(!same("9007199254740992", above) && !same("9007199254740993", above - 1));
        assert!(!same("9007199254740993", 9_007_199_254_740_992.0));
        assert!(!same("9007199254740992.5", 9_007_199_254_740_992.0));
        assert!(same("9223372036854775807", i64::MAX) && !same("9223372036854775808", i64::MAX));
        assert!(same("18446744073709551615", u64::MAX) && !same("18446744073709551616", u64::MAX));
        assert!(same("-9223372036854775808", i64::MIN) && !same("-9223372036854775809", i64::MIN));
        // Both what was written and what a double makes of it.
        for text in ["1e30", "1000000000000000019884624838656"] {
            assert!(same(text, 1e30), "{text}");
        }
        assert!(!same("1000000000000000000000000000001", 1e30));
    }

    #[test]
    fn fractions_are_the_same_as_doubles() {
        for text in ["0.1", "1e-1", "0.10000000000000001", "0.1000000000000000055511151231257827"] {
            assert!(same(text, 0.1), "{text}");
        }
        assert!(!same("0.1000000000000001", 0.1) && !same("0.5", 0) && !same("0", 0.5));
    }

    proptest! {
        #[test]
        fn a_number_is_the_same_as_itself_alone(a in any::<i64>(), b in any::<i64>(), c in any::<f64>()) {
            prop_assert!(same(&a.to_string(), a));
            prop_assert_eq!(same(&a.to_string(), b), a == b);
            if c.is_finite() {
                let text = format!("{c:e}");
                prop_assert!(same(&text, c) && is_held("0.5", 0.5));
            }
        }
    }
}
