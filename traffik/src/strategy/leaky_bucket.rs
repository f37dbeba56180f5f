//! [`LeakyBucket`]: a level that rises with every hit and leaks evenly.

use super::{Ask, Bucket, State, Strategy, Twin, Verdict};
use crate::rate::Rate;

/// The leaky bucket as a meter: the level leaks at `L / P`; a hit of cost `c` passes if `level + c ≤ L`,
/// and raises it by `c`.
///
/// State, 16 bytes a client: one instant and one level, as an exact fraction. Round trips: 0 in memory, 1
/// on Redis. Source: Turner, "New directions in communications" (1986).
///
/// **When:** the load on something behind you must be even on average, whatever the clients do.
/// **When not:** you need a burst other than the limit; [`TokenBucket`](super::TokenBucket) is the same
/// rule seen from the other side, with that knob. [`LeakyQueue`](super::LeakyQueue) counts whole
/// requests rather than a level.
///
/// A changed rate starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeakyBucket;

impl LeakyBucket {
    /// Creates a bucket that holds the rate's limit.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

fn bucket(rate: &Rate) -> Bucket {
    Bucket { capacity: rate.limit(), debt: 0 }
}

impl Strategy for LeakyBucket {
    fn name(&self) -> &str {
        "leaky_bucket"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        bucket(rate).validate(rate)
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn tag(&self, rate: &Rate) -> String {
        Bucket::tag(self.name(), rate)
    }

    #[inline]
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        bucket(ask.rate).step(state, ask)
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::Bucket { burst: None, debt: 0 })
    }
}
