//! [`FixedWindow`]: so many per calendar window.

use super::{Ask, EXACT, Op, State, Strategy, Twin, Verdict};
use crate::rate::Rate;

/// So many per window `floor(now / P)` of the calendar: `used + c ≤ L`.
///
/// State: the window's start and what was used in it. One command per hit.
///
/// **When:** quotas that people understand ("1000 per hour"), and as a default. **When not:** where
/// twice the limit around a window's edge would hurt; take [`Gcra`](super::Gcra) or
/// [`TokenBucket`](super::TokenBucket) there.
///
/// A changed limit keeps what was used; a changed period starts afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FixedWindow {
    staggered: bool,
}

impl FixedWindow {
    /// Windows that begin at multiples of the period since the Unix epoch.
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
        let (limit, period) = (ask.rate.limit(), ask.rate.period_micros());
        let shift = if self.staggered { ask.phase % period } else { 0 };
        // The shift moves the grid forward; adding a period first keeps the sum positive.
        let present = ask.now - (ask.now + period - shift) % period;
        let [kept, counted] = state.words().unwrap_or_default();
        let (start, used) = if kept < present {
            (present, 0)
        } else if kept - present <= period {
            // Ahead of the clock by one window, as another process may be: it stays.
            (kept, counted)
        } else {
            // Further ahead no clock goes: keep the count, but let the window end.
            (present, counted)
        };
        let reset = start.saturating_add(period).saturating_sub(ask.now);

        let mut after = used;
        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check => match used.checked_add(ask.cost) {
                Some(sum) if sum <= limit => {
                    after = sum;
                    (true, 0)
                }
                _ if ask.cost > limit => (false, Verdict::NEVER),
                _ => (false, reset),
            },
            // A window that has passed took its charges with it.
            Op::Refund { at } => {
                if at.is_none_or(|at| at >= start) {
                    after = used.saturating_sub(ask.cost);
                }
                (true, 0)
            }
            Op::Reset => {
                after = 0;
                (true, 0)
            }
        };
        if ask.op.changes() && admitted {
            *state = if after == 0 { State::Empty } else { State::Words([start, after]) };
        }
        let shown = if ask.op == Op::Check { used } else { after };
        Verdict {
            admitted,
            limit,
            used: shown,
            remaining: limit.saturating_sub(shown),
            wait,
            reset_after: if shown == 0 { 0 } else { reset },
            keep_for: if after == 0 { 0 } else { reset },
        }
    }

    fn staggered(&self) -> bool {
        self.staggered
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::FixedWindow { staggered: self.staggered })
    }
}
