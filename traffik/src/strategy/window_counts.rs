//! [`WindowCounts`]: two counters and the window they belong to, in two words below 2^53.
//!
//! The first word is the window's start. The second holds the low 22 bits of both counts, so that most
//! states are an instant and a small number, like those of other strategies, which stores may be able
//! to keep in less space. The next 4 bits of each count go above those. The highest bits of the counts
//! are added to the window's start: a `period ≥ 2^f` leaves room for `f` bits there before the next
//! window begins, so each counter has `26 + f / 2` bits.

use super::{Ask, Op, State, skew};

/// Bits of each count at the low end of the second word.
const LOW: u32 = 22;
/// The bits of each count that follow.
const MIDDLE: u32 = 4;

/// The counts of a calendar window and of the window before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowCounts {
    pub(super) index: u64,
    pub(super) older: u64,
    pub(super) newer: u64,
}

/// Bits of each count that are added to the window's start.
#[inline]
pub(super) const fn high_bits(period: u64) -> u32 {
    period.ilog2() / 2
}

/// Bits of one counter.
const fn bits(period: u64) -> u32 {
    LOW + MIDDLE + high_bits(period)
}

/// Refuses limits that a counter cannot hold.
pub(super) fn validate(limit: u64, period: u64) -> Result<(), String> {
    let most = (1_u64 << bits(period)) - 1;
    if limit <= most {
        return Ok(());
    }
    Err(format!(
        "this strategy packs two counts and a time into 104 bits, so at this period the limit can be at \
         most {most}, not {limit}; lower the limit or lengthen the period"
    ))
}

impl WindowCounts {
    #[inline]
    pub(super) fn unpack([first, second]: [u64; 2], period: u64) -> Self {
        let (high, rest) = (high_bits(period), first % period);
        let count = |low: u64, middle: u64, high: u64| {
            let mask = |bits: u32| (1 << bits) - 1;
            low & mask(LOW) | (middle & mask(MIDDLE)) << LOW | high << (LOW + MIDDLE)
        };
        Self {
            index: first / period,
            newer: count(second, second >> (2 * LOW), rest & ((1 << high) - 1)),
            older: count(second >> LOW, second >> (2 * LOW + MIDDLE), rest >> high),
        }
    }

    #[inline]
    pub(super) fn pack(self, period: u64) -> State {
        let Self { index, older, newer } = self;
        let join = |shift: u32, by: u32| {
            let part = |count: u64| count >> shift & ((1 << by) - 1);
            part(newer) | part(older) << by
        };
        let second = join(0, LOW) | join(LOW, MIDDLE) << (2 * LOW);
        State::Words([index * period + join(LOW + MIDDLE, high_bits(period)), second])
    }

    /// The stored state, unless it lies too far in the future to be genuine.
    #[inline]
    pub(super) fn read(state: &State, now: u64, period: u64) -> Option<Self> {
        let counts = Self::unpack(state.words()?, period);
        let start = counts.index.saturating_mul(period);
        skew::believable(start, now, || period).then_some(counts)
    }

    /// The two counts as of `now`: an older window moves on, a later one stays.
    #[inline]
    pub(super) fn at(state: &State, now: u64, period: u64) -> Self {
        let index = now / period;
        match Self::read(state, now, period) {
            Some(counts) if counts.index >= index => counts,
            Some(counts) if counts.index + 1 == index => Self { index, older: counts.newer, newer: 0 },
            _ => Self { index, older: 0, newer: 0 },
        }
    }

    /// When the window begins.
    #[inline]
    pub(super) fn start(self, period: u64) -> u64 {
        self.index * period
    }

    /// When neither count matters any more; 0 if both are zero.
    #[inline]
    pub(super) fn until(self, period: u64) -> u64 {
        match self {
            Self { newer: 1.., .. } => self.start(period) + 2 * period,
            Self { older: 1.., .. } => self.start(period) + period,
            _ => 0,
        }
    }

    /// Carries out an operation that was admitted, and stores the result.
    #[inline]
    pub(super) fn apply(&mut self, ask: &Ask<'_>, state: &mut State) {
        match ask.op {
            Op::Check | Op::Settle { .. } => {}
            Op::Hit => self.newer += ask.cost,
            Op::Refund { at } => self.refund(at, ask),
            Op::Reset => (self.older, self.newer) = (0, 0),
        }
        if ask.op.changes() {
            let nothing = self.older == 0 && self.newer == 0;
            *state = if nothing { State::Empty } else { self.pack(ask.rate.period_micros()) };
        }
    }

    /// Gives units back to the window that they were taken from, if it still counts.
    fn refund(&mut self, at: Option<u64>, ask: &Ask<'_>) {
        let window = at.map_or(self.index, |at| at / ask.rate.period_micros());
        if window >= self.index {
            self.newer = self.newer.saturating_sub(ask.cost);
        } else if window + 1 == self.index {
            self.older = self.older.saturating_sub(ask.cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::EXACT;
    use proptest::prelude::*;

    /// Up to the year 2112.
    const HORIZON: u64 = 1 << 52;

    proptest! {
        #[test]
        fn packing_round_trips_below_2_to_53(
            period in prop_oneof![1_u64..=100, 1_u64..=traffik_grammar::rate::MAX_PERIOD_MICROS, Just(31_622_400_000_000)],
            counts: (u64, u64, u64),
        ) {
            let ((a, b, c), most) = (counts, 1 << bits(period));
            let counts = WindowCounts { index: a % (HORIZON / period), older: b % most, newer: c % most };
            let State::Words(words) = counts.pack(period) else { unreachable!() };
            prop_assert!(words[0] < EXACT && words[1] < EXACT);
            prop_assert_eq!(WindowCounts::unpack(words, period), counts);
        }

        #[test]
        fn small_counts_are_an_instant_and_a_small_number(period in 1_u64..=1 << 40, counts: (u64, u32, u32)) {
            let (older, newer) = (u64::from(counts.1) >> 10, u64::from(counts.2) >> 10);
            let counts = WindowCounts { index: counts.0 % (HORIZON / period), older, newer };
            let State::Words(words) = counts.pack(period) else { unreachable!() };
            prop_assert_eq!(words[0], counts.start(period));
            prop_assert!(words[1] < 1 << 44);
        }
    }

    #[test]
    fn a_thousand_million_a_year_fits() {
        assert!(validate(1_000_000_000, 366 * 86_400_000_000).is_ok());
        assert!(validate(1_000_000_000, 1_000_000).is_ok());
        let most = (1 << 35) - 1;
        assert!(validate(most, 1_000_000).is_ok() && validate(most + 1, 1_000_000).is_err());
        let error = validate((1 << 53) - 1, 86_400_000_000).unwrap_err();
        assert!(error.contains("9007199254740991") && error.contains("17592186044415"), "{error}");
    }
}
