//! [`Window`]: counting per calendar window, for every strategy that does.

use super::{Ask, Op, State, Verdict, skew};

/// The window that a client is in, and what was used in it.
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
        // Adding a period first keeps the difference positive.
        let into = (now + period - shift) % period;
        // A shifted grid's first window begins before the epoch, and is cut there.
        Self { start: now.saturating_sub(into), end: now + (period - into), used: 0 }
    }

    /// The window that counts at `now`: the present one, or a later one that the state has seen.
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
    pub(super) fn step(self, state: &mut State, ask: &Ask<'_>, limit: u64) -> Verdict {
        let reset = self.end - ask.now;
        let mut after = self.used;
        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check => match self.used.checked_add(ask.cost) {
                Some(sum) if sum <= limit => {
                    after = sum;
                    (true, 0)
                }
                _ if ask.cost > limit => (false, Verdict::NEVER),
                _ => (false, reset),
            },
            // A window that has passed took its charges with it.
            Op::Refund { at } => {
                if at.is_none_or(|at| at >= self.start) {
                    after = self.used.saturating_sub(ask.cost);
                }
                (true, 0)
            }
            Op::Settle { .. } => (true, 0),
            Op::Reset => {
                after = 0;
                (true, 0)
            }
        };
        if admitted && ask.op.changes() {
            *state = if after == 0 { State::Empty } else { State::Words([self.start, after]) };
        }
        let shown = if ask.op.changes() { after } else { self.used };
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
