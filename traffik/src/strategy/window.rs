//! [`Window`]: counting per calendar window, for every strategy that does so.

#[cfg(feature = "memory")]
use super::compact_verdict::{AdmittedStep, CompactVerdict};
use super::divisor::Divisor;
use super::{Op, State, Verdict, skew};
use crate::rate::Rate;

/// A client's current window, and what was used in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) used: u64,
}

impl Window {
    /// The empty window around `now` on a grid of `period`, moved forward by `shift < period`.
    #[inline]
    fn around(now: u64, period: u64, shift: u64) -> Self {
        // Adding a period first keeps the difference from going negative.
        let into = (now + period - shift) % period;
        // The first window of a shifted grid begins before the epoch, and is cut off there.
        Self { start: now.saturating_sub(into), end: now + (period - into), used: 0 }
    }

    /// The window that counts at `now`: the current one, or a later one that the state has seen.
    #[inline]
    pub(super) fn open(state: &State, now: u64, period: u64, shift: u64) -> Self {
        let present = Self::around(now, period, shift);
        match state.words() {
            Some([start, used]) if start >= present.start && start < present.end => Self { used, ..present },
            Some([start, used]) if start >= present.end && skew::believable(start, now, || period) => {
                Self { used, ..Self::around(start, period, shift) }
            }
            _ => present,
        }
    }

    /// Admits `used + c ≤ limit`.
    #[inline]
    pub(super) fn step(self, state: &mut State, op: Op, now: u64, cost: u64, limit: u64) -> Verdict {
        let reset = self.end - now;
        let mut after = self.used;
        let (admitted, wait) = match op {
            Op::Hit | Op::Check => match self.used.checked_add(cost) {
                Some(sum) if sum <= limit => {
                    after = sum;
                    (true, 0)
                }
                _ if cost > limit => (false, Verdict::NEVER),
                _ => (false, reset),
            },
            // The charges of a window that has passed ended with it.
            Op::Refund { at } => {
                if at.is_none_or(|at| at >= self.start) {
                    after = self.used.saturating_sub(cost);
                }
                (true, 0)
            }
            Op::Settle { .. } => (true, 0),
            Op::Reset => {
                after = 0;
                (true, 0)
            }
        };
        if admitted && op.changes() {
            *state = if after == 0 { State::Empty } else { State::Words([self.start, after]) };
        }
        let shown = if op.changes() { after } else { self.used };
        let reset_after = if shown == 0 { 0 } else { reset };
        Verdict {
            admitted,
            limit,
            used: shown,
            remaining: limit.saturating_sub(shown),
            wait,
            reset_after,
            keep_for: reset_after,
        }
    }
}

/// The calendar windows of a rate, precomputed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowAccount {
    rate: Rate,
    period: Divisor,
}

impl WindowAccount {
    pub(super) fn new(rate: &Rate) -> Self {
        Self { rate: *rate, period: Divisor::new(rate.period_micros()) }
    }

    pub(super) fn step(&self, state: &mut State, op: Op, now: u64, cost: u64) -> Verdict {
        self.window(state.words(), now).step(state, op, now, cost, self.rate.limit())
    }

    /// The window that counts at `now`, as [`Window::open`] finds it.
    #[inline(always)]
    fn window(&self, words: Option<[u64; 2]>, now: u64) -> Window {
        let period = self.period.get();
        let start = self.period.floor(now) * period;
        let present = Window { start, end: start + period, used: 0 };
        match words {
            Some([kept, used]) if kept >= start => {
                if kept < present.end {
                    Window { used, ..present }
                } else {
                    self.later(kept, used, now).unwrap_or(present)
                }
            }
            _ => present,
        }
    }

    /// A window that the clock has not reached yet.
    #[cold]
    fn later(&self, kept: u64, used: u64, now: u64) -> Option<Window> {
        let period = self.period.get();
        skew::believable(kept, now, || period).then(|| Window { used, ..Window::around(kept, period, 0) })
    }
}

#[cfg(feature = "memory")]
impl WindowAccount {
    pub(super) fn total(&self) -> u64 {
        self.rate.limit()
    }

    /// The time from the window's start to its end.
    pub(super) fn keep_for(&self) -> u64 {
        self.period.get()
    }

    #[inline(always)]
    pub(super) fn hit(&self, words: [u64; 2], now: u64, cost: u64) -> Result<AdmittedStep, CompactVerdict> {
        let Window { start, end, used } = self.window(Some(words), now);
        let (limit, ahead_of_clock) = (self.rate.limit(), end - now);
        let Some(sum) = used.checked_add(cost).filter(|sum| *sum <= limit) else {
            let wait = if cost > limit { Verdict::NEVER } else { ahead_of_clock };
            return Err(CompactVerdict { used, ahead_of_clock, wait });
        };
        Ok(AdmittedStep {
            compact: CompactVerdict { used: sum, ahead_of_clock, wait: 0 },
            words: [start, sum],
            is_exhausted: sum >= limit,
        })
    }

    #[inline(always)]
    pub(super) fn full_verdict(&self, compact: &CompactVerdict) -> Verdict {
        let CompactVerdict { used, ahead_of_clock, wait } = *compact;
        let limit = self.rate.limit();
        let reset_after = if used == 0 { 0 } else { ahead_of_clock };
        Verdict {
            admitted: wait == 0,
            limit,
            used,
            remaining: limit.saturating_sub(used),
            wait,
            reset_after,
            keep_for: reset_after,
        }
    }
}
