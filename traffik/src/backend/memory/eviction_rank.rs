//! The eviction rank: how near to refusal an account is. A full store evicts keys by this, the fullest accounts first.

use super::packed_state::REFUSED;
use crate::backend::Verdict;

/// At the limit, but not refused yet.
const EXHAUSTED: u8 = REFUSED - 1;

/// Returns how near an account is to refusal: 0 if it is full, [`EXHAUSTED`] at the limit, [`REFUSED`] beyond.
#[inline]
pub(super) fn eviction_rank(verdict: &Verdict) -> u8 {
    if !verdict.admitted {
        return REFUSED;
    }
    RankScale::of(verdict.limit.max(verdict.used)).rank(verdict.used, verdict.remaining == 0)
}

/// The most that can be used, as a power of two, so that computing [`eviction_rank`] takes no division.
#[derive(Debug, Clone, Copy)]
pub(super) struct RankScale(u32);

/// Returns a number's magnitude: its power of two, from an arbitrary origin. It goes by way of a float, because
/// finding a number's first bit takes eight steps on many processors.
#[inline(always)]
fn magnitude(number: u64) -> u32 {
    // Signed, which converts in one step where an unsigned number takes several. Everything from 2^63 on counts as
    // equally large.
    exponent(number.min(i64::MAX as u64) as i64 as f64)
}

#[inline(always)]
fn exponent(number: f64) -> u32 {
    (number.to_bits() >> (f64::MANTISSA_DIGITS - 1)) as u32
}

impl RankScale {
    /// Creates the scale of an account of which at most this much is used.
    #[inline]
    pub(super) fn of(most: u64) -> Self {
        Self(magnitude(most.max(1)))
    }

    /// Each step stands for twice the usage of the one before, starting from none; the last is an account with
    /// nothing left.
    #[inline]
    pub(super) fn rank(self, used: u64, exhausted: bool) -> u8 {
        self.rank_of_magnitude(magnitude(used), exhausted)
    }

    /// The same for an amount that is already a float, and not negative.
    #[inline(always)]
    pub(super) fn rank_of_float(self, used: f64, exhausted: bool) -> u8 {
        self.rank_of_magnitude(exponent(used), exhausted)
    }

    #[inline(always)]
    fn rank_of_magnitude(self, magnitude: u32, exhausted: bool) -> u8 {
        if exhausted {
            return EXHAUSTED;
        }
        // The usage is at most the maximum, so the result is below `EXHAUSTED`.
        (magnitude + u32::from(EXHAUSTED) - 1).saturating_sub(self.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However little there is to use, an account with nothing used is evicted first.
    #[test]
    fn nothing_used_has_the_lowest_rank() {
        for most in 1..100 {
            let scale = RankScale::of(most);
            assert_eq!([scale.rank(0, false), scale.rank_of_float(0.0, false)], [0, 0], "{most}");
            assert_eq!(
                [scale.rank(most, false), scale.rank_of_float(most as f64, false)],
                [EXHAUSTED - 1; 2],
                "{most}"
            );
        }
    }

    /// It depends on neither the limit nor its unit, so that throttles that share a store can be compared.
    #[test]
    fn the_rank_is_the_part_that_is_used() {
        for (limit, unit) in [(20_u64, 1_u64), (20, 3_000_000), (1_000, 1), (1_000, 7), (1 << 40, 1)] {
            let rank = |used| RankScale::of(limit * unit).rank(used, false);
            assert_eq!(rank(limit * unit), EXHAUSTED - 1, "{limit} of {unit}");
            assert_eq!(rank(limit * unit / 8), EXHAUSTED - 4, "{limit} of {unit}");
            assert_eq!(RankScale::of(limit * unit).rank(0, true), EXHAUSTED);
            let most = RankScale::of(u64::MAX);
            assert!([1 << 62, 1 << 63, u64::MAX].iter().all(|used| most.rank(*used, false) < EXHAUSTED));
            assert_eq!(RankScale::of(u64::MAX).rank(limit * unit / 8, false), 0);
            assert_eq!(rank(0), 0, "{limit} of {unit}");
            assert!((0..limit.min(500)).all(|used| rank(used * unit) <= rank((used + 1) * unit)));
        }
    }
}
