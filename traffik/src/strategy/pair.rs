//! [`Pair`]: two counters and the window they belong to, in two words below 2^53.
//!
//! `period ≥ 2^f` leaves at most `52 − f` bits to a window's index until the year 2112, and so
//! `k = (54 + f) / 2` bits to each counter. The newer one fills the low end of the second word, the
//! older one the rest of it and the low end of the first, the index the rest of that.

use super::{Ask, Op, State, skew};

/// Bits of a word that Lua keeps exact.
const WORD: u32 = 53;

/// What was counted in one calendar window, and in the window before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) index: u64,
    pub(super) older: u64,
    pub(super) newer: u64,
}

/// Bits of one counter.
#[inline]
pub(super) const fn bits(period: u64) -> u32 {
    (54 + period.ilog2()) / 2
}

/// Refuses limits that a counter cannot hold.
pub(super) fn validate(limit: u64, period: u64) -> Result<(), String> {
    let most = (1_u64 << bits(period)) - 1;
    if limit <= most {
        return Ok(());
    }
    Err(format!(
        "this strategy keeps two counts and a time in 106 bits, which leaves room for a limit of {most} at this \
         period, not for {limit}; lower the limit or lengthen the period"
    ))
}

impl Pair {
    #[inline]
    pub(super) fn unpack([first, second]: [u64; 2], period: u64) -> Self {
        let bits = bits(period);
        let high = 2 * bits - WORD;
        Self {
            index: first >> high,
            older: (first & ((1 << high) - 1)) << (WORD - bits) | second >> bits,
            newer: second & ((1 << bits) - 1),
        }
    }

    #[inline]
    pub(super) fn pack(self, period: u64) -> State {
        let bits = bits(period);
        let high = 2 * bits - WORD;
        let first = self.index << high | self.older >> (WORD - bits);
        let second = (self.older & ((1 << (WORD - bits)) - 1)) << bits | self.newer;
        State::Words([first, second])
    }

    /// The state as it was written, unless it lies too far ahead to be one.
    #[inline]
    pub(super) fn read(state: &State, now: u64, period: u64) -> Option<Self> {
        let pair = Self::unpack(state.words()?, period);
        let start = pair.index.saturating_mul(period);
        skew::believable(start, now, || period).then_some(pair)
    }

    /// The two counts as they stand at `now`: an older window is left behind, a later one stays.
    #[inline]
    pub(super) fn at(state: &State, now: u64, period: u64) -> Self {
        let index = now / period;
        match Self::read(state, now, period) {
            Some(pair) if pair.index >= index => pair,
            Some(pair) if pair.index + 1 == index => Self { index, older: pair.newer, newer: 0 },
            _ => Self { index, older: 0, newer: 0 },
        }
    }

    /// When the window begins.
    #[inline]
    pub(super) fn start(self, period: u64) -> u64 {
        self.index * period
    }

    /// When neither count matters any more: 0 if both are nothing.
    #[inline]
    pub(super) fn until(self, period: u64) -> u64 {
        match self {
            Self { newer: 1.., .. } => self.start(period) + 2 * period,
            Self { older: 1.., .. } => self.start(period) + period,
            _ => 0,
        }
    }

    /// Gives units back to the window they were taken from, if it still counts.
    pub(super) fn refund(&mut self, at: Option<u64>, ask: &Ask<'_>) {
        let window = at.map_or(self.index, |at| at / ask.rate.period_micros());
        if window >= self.index {
            self.newer = self.newer.saturating_sub(ask.cost);
        } else if window + 1 == self.index {
            self.older = self.older.saturating_sub(ask.cost);
        }
    }

    /// What an admitted step leaves behind.
    #[inline]
    pub(super) fn store(self, state: &mut State, op: Op, period: u64) {
        if op.changes() {
            let nothing = self.older == 0 && self.newer == 0;
            *state = if nothing { State::Empty } else { self.pack(period) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::EXACT;
    use proptest::prelude::*;

    /// Until the year 2112.
    const HORIZON: u64 = 1 << 52;

    proptest! {
        #[test]
        fn packing_round_trips_below_2_to_53(
            period in prop_oneof![1_u64..=100, 1_u64..=traffik_grammar::rate::MAX_PERIOD_MICROS, Just(31_622_400_000_000)],
            counts: (u64, u64, u64),
        ) {
            let ((a, b, c), most) = (counts, 1 << bits(period));
            let pair = Pair { index: a % (HORIZON / period), older: b % most, newer: c % most };
            let State::Words(words) = pair.pack(period) else { unreachable!() };
            prop_assert!(words[0] < EXACT && words[1] < EXACT);
            prop_assert_eq!(Pair::unpack(words, period), pair);
        }
    }

    #[test]
    fn a_thousand_million_a_year_fits() {
        assert!(validate(1_000_000_000, 366 * 86_400_000_000).is_ok());
        assert!(validate(1_000_000_000, 1_000_000).is_ok());
        let error = validate((1 << 53) - 1, 86_400_000_000).unwrap_err();
        assert!(error.contains("9007199254740991") && error.contains("35184372088831"), "{error}");
    }
}
