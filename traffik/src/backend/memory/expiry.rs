//! How long a key is kept, in one byte.
//!
//! A key's state begins with an instant, and the key is kept for a number of ticks from there. The byte is a small
//! float: three bits below the leading one, and an exponent. Eight ticks are added before encoding, so that the
//! shortest times need no form of their own. Decoding returns the longest time that the byte can stand for: at most
//! an eighth plus one tick more than was encoded.

/// log2 of the microseconds in a tick, which is about a second.
const TICK: u32 = 20;

/// Bits below the exponent.
const DIGITS: u32 = 3;

/// The first time too long for any byte: 68 years.
pub(super) const LONGEST: u64 = 1 << (31 + TICK);

/// The leading bit, which is not stored.
const ONE: u64 = 1 << DIGITS;

/// What is added to the ticks.
pub(super) const RAISED: f64 = ONE as f64;

/// Returns the code of a number of microseconds below [`LONGEST`]; never 0.
#[inline(always)]
pub(super) fn encode(kept: u64) -> u8 {
    // Exact, because ticks are below 2^31.
    encode_ticks(((kept >> TICK) + ONE) as i64 as f64)
}

/// Returns the code of a number of ticks plus [`RAISED`]: at least that, and less than [`LONGEST`] has. A float
/// already has these bits, whereas finding a number's first bit takes eight steps on many processors.
#[inline(always)]
pub(super) fn encode_ticks(raised: f64) -> u8 {
    let digits = |number: f64| number.to_bits() >> (f64::MANTISSA_DIGITS - 1 - DIGITS);
    // At most 28 · 8 + 1.
    (digits(raised) - digits(RAISED) + 1) as u8
}

/// Converts microseconds to ticks.
pub(super) fn ticks(micros: f64) -> f64 {
    micros / (1_u64 << TICK) as f64
}

/// Returns the most microseconds that have this code.
#[inline]
pub(super) fn decode(code: u8) -> u64 {
    let code = u64::from(code.saturating_sub(1));
    let (exponent, digits) = (code >> DIGITS, code & (ONE - 1));
    // No code shifts by more than 31.
    ((((ONE + digits + 1) << exponent) - ONE) << TICK) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_is_never_early_nor_late_by_more_than_an_eighth(kept in 0..LONGEST, shift in 0..51_u32) {
            let kept = kept >> shift;
            let read = decode(encode(kept));
            prop_assert!(encode(kept) != 0);
            prop_assert!(read >= kept && read - kept <= kept / 8 + (1 << TICK), "{} is read as {}", kept, read);
        }

        #[test]
        fn longer_is_never_a_lower_code(a in 0..LONGEST, b in 0..LONGEST) {
            prop_assert!(encode(a.min(b)) <= encode(a.max(b)));
        }
    }

    #[test]
    fn codes_are_those_of_their_ticks() {
        let codes = [0, 1, 7, 8, 9, 10, 23, 24, (1 << 31) - 1].map(|ticks| encode(ticks << TICK));
        assert_eq!(codes, [1, 2, 8, 9, 9, 10, 16, 17, 225]);
        // Bytes that encode no time can be decoded, too.
        assert!(decode(u8::MAX) > decode(225) && decode(0) == decode(1));
    }
}
