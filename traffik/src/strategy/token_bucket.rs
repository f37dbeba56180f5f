//! [`TokenBucket`]: tokens drip in, bursts spend them.

use super::{Ask, Bucket, State, Strategy, Twin, Verdict};
use crate::rate::Rate;

/// Tokens arrive at `L / P` up to a burst `B`; a hit of cost `c` passes if `tokens ≥ c`, and takes that
/// many. With a debt `D` it passes if `tokens + D ≥ c`, and the balance may drop to `−D`.
///
/// State, 16 bytes a client: one instant and one balance. Round trips: 0 in memory, 1 on Redis. Exact:
/// tokens are counted in fractions with the rate's own denominator. Sources: Turner (1986); RFC 2697, which
/// calls it a meter.
///
/// **When:** the clients of an API work in bursts. **When not:** each client should be paced evenly
/// ([`Gcra`](super::Gcra)), or people expect a number per calendar hour
/// ([`FixedWindow`](super::FixedWindow)).
///
/// A changed rate, burst or debt starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenBucket {
    burst: Option<u64>,
    debt: u64,
}

impl TokenBucket {
    /// Creates a bucket that holds the rate's limit, without credit.
    #[must_use]
    pub const fn new() -> Self {
        Self { burst: None, debt: 0 }
    }

    /// Sets how many tokens a full bucket holds. The default is the rate's limit.
    #[must_use]
    pub const fn burst(mut self, tokens: u64) -> Self {
        self.burst = Some(tokens);
        self
    }

    /// Sets how far below zero the balance may drop. What remains, also in headers, includes what can be taken on
    /// credit, and may therefore exceed the limit.
    #[must_use]
    pub const fn debt(mut self, tokens: u64) -> Self {
        self.debt = tokens;
        self
    }

    fn bucket(&self, rate: &Rate) -> Bucket {
        Bucket { capacity: self.burst.unwrap_or(rate.limit()), debt: self.debt }
    }
}

impl Strategy for TokenBucket {
    fn name(&self) -> &str {
        "token_bucket"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        self.bucket(rate).validate(rate)
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        self.bucket(rate).capacity.saturating_add(self.debt)
    }

    fn tag(&self, rate: &Rate) -> String {
        self.bucket(rate).chosen_tag(self.name(), rate)
    }

    #[inline]
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        self.bucket(ask.rate).step(state, ask)
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::Bucket { burst: self.burst, debt: self.debt })
    }
}
