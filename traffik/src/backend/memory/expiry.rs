//! How long a key is kept, in a byte.
//!
//! A key's state begins with an instant, and from there the key is kept for so many ticks: of those, the
//! leading digits and where they stand, as a floating-point number has them. What is read back is the longest
//! that the byte can mean: an eighth more than was written, and a tick, at most.

/// log2 of the microseconds in a tick: about a second.
const TICK: u32 = 20;

/// Bits that count below the exponent.
const DIGITS: u32 = 3;

/// From here on, no byte can tell: 68 years.
pub(super) const LONGEST: u64 = 1 << (31 + TICK);

/// The code of so many microseconds, which are below [`LONGEST`]; never 0.
#[inline(always)]
pub(super) fn code(kept: u64) -> u8 {
    let ticks = (kept >> TICK) as u32;
    // With an exponent of 0, digits are the number itself.
    let exponent = (ticks | 1 << DIGITS).ilog2() - DIGITS;
    // At most 27 · 8 + 15 + 1. A number's first digit counts in the exponent too.
    ((exponent << DIGITS) + (ticks >> exponent) + 1) as u8
}

/// The most microseconds that the code is made of.
#[inline]
pub(super) fn longest(code: u8) -> u64 {
    let code = u32::from(code.saturating_sub(1));
    let exponent = (code >> DIGITS).saturating_sub(1);
    let digits = u64::from(code - (exponent << DIGITS));
    // No code shifts further than 30.
    (((digits + 1) << exponent) << TICK) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_is_never_early_nor_late_by_more_than_an_eighth(kept in 0..LONGEST, shift in 0..51_u32) {
            let kept = kept >> shift;
            let read = longest(code(kept));
            prop_assert!(code(kept) != 0);
            prop_assert!(read >= kept && read - kept <= kept / 8 + (1 << TICK), "{} is read as {}", kept, read);
        }

        #[test]
        fn longer_is_never_a_lower_code(a in 0..LONGEST, b in 0..LONGEST) {
            prop_assert!(code(a.min(b)) <= code(a.max(b)));
        }
    }

    #[test]
    fn codes_are_those_of_their_ticks() {
        let codes = [0, 1, 15, 16, 17, 18, (1 << 31) - 1].map(|ticks| code(ticks << TICK));
        assert_eq!(codes, [1, 2, 16, 17, 17, 18, 232]);
        // A byte that none is made of is read, too.
        assert!(longest(u8::MAX) > longest(232) && longest(0) == longest(1));
    }
}
