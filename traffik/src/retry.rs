//! [`Retry`]: how often to retry, and how long to wait before each retry.
//!
//! Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015): each wait is chosen between zero and a bound that doubles, so that
//! callers that failed together do not come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) times: u32,
    /// The longest wait before the first retry.
    pub(crate) first: Duration,
}

impl Retry {
    pub(crate) fn new(times: u32) -> Self {
        Self { times, first: Duration::from_millis(10) }
    }

    /// The longest wait before retry `n`, counted from 0.
    fn bound(&self, n: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(n))
    }

    /// Picks the wait before retry `n`, uniformly up to its bound.
    pub(crate) fn wait(&self, n: u32) -> Duration {
        random_part(self.bound(n))
    }
}

/// Picks a time between zero and this bound, uniformly; at most 584 years.
pub(crate) fn random_part(bound: Duration) -> Duration {
    // A `RandomState` has fresh keys, so that any hash under it is a random number.
    let random = u128::from(RandomState::new().hash_one(()));
    let nanos = bound.as_nanos().min(u128::from(u64::MAX));
    Duration::from_nanos(u64::try_from((random * nanos) >> 64).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_spread_over_all_of_their_bound() {
        let retry = Retry::new(9);
        for n in 0..8 {
            let bound = Duration::from_millis(10 << n);
            assert_eq!(retry.bound(n), bound);
            let waits: Vec<_> = (0..400).map(|_| retry.wait(n)).collect();
            assert!(waits.iter().all(|wait| *wait < bound));
            // The chance that 400 waits all miss one half of the bound is 1 in 10^120.
            assert!(waits.iter().any(|wait| *wait < bound / 2) && waits.iter().any(|wait| *wait > bound / 2));
        }
        assert_eq!(retry.bound(u32::MAX), Duration::from_millis(10).saturating_mul(u32::MAX));
    }
}
