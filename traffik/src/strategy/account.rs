//! [`Account`]: what a hit does to a client's state, with everything precomputed that is the same for all
//! hits.

use super::bucket::BucketAccount;
#[cfg(feature = "memory")]
use super::compact_verdict::{AdmittedStep, CompactVerdict};
use super::window::WindowAccount;
use super::{Bucket, Op, State, Twin, Verdict};
use crate::rate::Rate;

/// The strategies that most throttles use, at a given rate. Their steps are known here, so that no strategy
/// is called through its vtable, and nothing is computed that nobody reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Account {
    Bucket(BucketAccount),
    Window(WindowAccount),
}

impl Account {
    /// The account of a strategy at a rate that it accepts, if it is one of these strategies.
    pub(crate) fn of(twin: Option<Twin>, rate: &Rate) -> Option<Self> {
        match twin? {
            Twin::Bucket { burst, debt } => {
                let bucket = Bucket { capacity: burst.unwrap_or(rate.limit()), debt };
                Some(Self::Bucket(bucket.at(rate)))
            }
            Twin::FixedWindow { staggered: false } => Some(Self::Window(WindowAccount::new(rate))),
            _ => None,
        }
    }

    /// The strategy's step.
    pub(crate) fn step(&self, state: &mut State, op: Op, now: u64, cost: u64, gone_at: u64) -> Verdict {
        match self {
            Self::Bucket(bucket) => bucket.step(state, op, now, cost, gone_at),
            Self::Window(window) => window.step(state, op, now, cost),
        }
    }
}

#[cfg(feature = "memory")]
impl Account {
    /// The most that can be in use, in [`CompactVerdict`]'s units.
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.total(),
            Self::Window(window) => window.total(),
        }
    }

    /// How long an account with this much in use matters, in microseconds from its first word, which is an
    /// instant.
    pub(crate) fn keep_for(&self, used: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.keep_for(used),
            Self::Window(window) => window.keep_for(),
        }
    }

    /// The same as a straight line: the microseconds if nothing is in use, and those that each unit adds.
    pub(crate) fn keep_for_line(&self) -> [f64; 2] {
        match self {
            Self::Bucket(bucket) => [0.0, bucket.micros_per_unit()],
            Self::Window(window) => [window.keep_for() as f64, 0.0],
        }
    }

    /// Makes a hit on an existing account; `Err` if it is refused, in which case nothing changes.
    #[inline(always)]
    pub(crate) fn hit(&self, words: [u64; 2], now: u64, cost: u64) -> Result<AdmittedStep, CompactVerdict> {
        match self {
            Self::Bucket(bucket) => bucket.hit(words, now, cost),
            Self::Window(window) => window.hit(words, now, cost),
        }
    }

    /// The full verdict.
    #[inline(always)]
    pub(crate) fn full_verdict(&self, compact: &CompactVerdict) -> Verdict {
        match self {
            Self::Bucket(bucket) => bucket.full_verdict(compact),
            Self::Window(window) => window.full_verdict(compact),
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;
    use crate::strategy::{Ask, FixedWindow, Gcra, Strategy, TokenBucket};
    use proptest::prelude::*;

    proptest! {
        /// Whatever the state is, and whenever it was written.
        #[test]
        fn a_hit_does_what_the_strategy_does(
            limit in 1..50_u64,
            period in 1..10_000_u64,
            now in 0..1_u64 << 50,
            apart in -30_000..30_000_i64,
            is_far: bool,
            used in 0..200_000_u64,
            cost in 0..60_u64,
        ) {
            let rate = Rate::new(limit, std::time::Duration::from_micros(period)).unwrap();
            let apart = if is_far { apart * 10_000_000 } else { apart };
            let words = [now.saturating_add_signed(apart), used];
            let strategies: [&dyn Strategy; 3] =
                [&FixedWindow::new(), &Gcra::new().burst(limit), &TokenBucket::new().burst(limit).debt(3)];
            for strategy in strategies {
                let account = Account::of(strategy.twin(), &rate).unwrap();
                let mut state = State::Words(words);
                let verdict = strategy.step(&mut state, &Ask::new(Op::Hit, now, &rate, cost));
                let hit = account.hit(words, now, cost);
                let compact = match &hit {
                    Ok(admitted) => &admitted.compact,
                    Err(compact) => compact,
                };
                prop_assert_eq!(account.full_verdict(compact), verdict, "{:?}", strategy);
                prop_assert_eq!((hit.is_ok(), compact.is_admitted()), (verdict.admitted, verdict.admitted));
                let Ok(AdmittedStep { words: after, is_exhausted, .. }) = hit else { continue };
                prop_assert_eq!(is_exhausted, verdict.remaining == 0, "{:?}", strategy);
                if let Some(kept) = state.words() {
                    prop_assert_eq!(after, kept, "{:?}", strategy);
                    let long = now + verdict.keep_for - kept[0];
                    prop_assert_eq!(account.keep_for(after[1]), long, "{:?}", strategy);
                }
            }
        }
    }
}
