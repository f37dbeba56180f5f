//! [`FixedWindow`]: so many units per calendar window.

use super::{Ask, EXACT, State, Strategy, Twin, Verdict, Window};
use crate::rate::Rate;

/// At most `L` units per calendar window `floor(now / P)`: `used + c ≤ L`.
///
/// State, 16 bytes a client: the window's start and what was used in it. Round trips: 0 in memory, 1 on Redis.
///
/// **When:** quotas that people understand ("1000 per hour"), and as a default. **When not:** twice the
/// limit around the edge of a window would hurt; use [`Gcra`](super::Gcra) or
/// [`TokenBucket`](super::TokenBucket) instead.
///
/// A changed limit keeps what was used; a changed period starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FixedWindow {
    staggered: bool,
}

impl FixedWindow {
    /// Creates the strategy. Windows start at multiples of the period since the Unix epoch.
    #[must_use]
    pub const fn new() -> Self {
        Self { staggered: false }
    }

    /// Shifts each client's windows by a hash of the client, so that they don't all reset at once.
    #[must_use]
    pub const fn staggered(mut self) -> Self {
        self.staggered = true;
        self
    }
}

impl Strategy for FixedWindow {
    fn name(&self) -> &str {
        if self.staggered { "fixed_window_staggered" } else { "fixed_window" }
    }

    fn validate(&self, _: &Rate) -> Result<(), String> {
        const { assert!(traffik_grammar::rate::MAX_LIMIT < EXACT) };
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    #[inline]
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let period = ask.rate.period_micros();
        let shift = if self.staggered { ask.phase % period } else { 0 };
        Window::open(state, ask.now, period, shift).step(state, ask.op, ask.now, ask.cost, ask.rate.limit())
    }

    fn staggered(&self) -> bool {
        self.staggered
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::FixedWindow { staggered: self.staggered })
    }
}
