//! [`Adaptive`]: a limit that shrinks under load and recovers after it.

use super::exact::percent;
use super::{Ask, Op, Pair, State, Strategy, Verdict, pair, skew};
use crate::rate::Rate;

/// A calendar window whose limit follows the load of the windows before: `used + c ≤ L · f / 100`,
/// at least 1. The factor `f` begins at 100. After a window in which more than `threshold` percent
/// of the limit in force was used it becomes `reduction` percent of itself, but never less than
/// `floor`; after any other it grows by `recovery`, up to 100.
///
/// State, 16 bytes a client: the factor and what was used, in two words. Round trips: 0 in memory, 2 on Redis.
///
/// **When:** clients that keep hammering at their limit should be slowed until they calm down.
/// **When not:** to react to the load of the *server*: this sees nothing but the client's own hits.
///
/// A changed limit or knob keeps factor and use, and judges the window that is running by the new
/// one; a changed period starts afresh. A refund counts in the running window alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptive {
    threshold: u64,
    reduction: u64,
    recovery: u64,
    floor: u64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self::new()
    }
}

/// The factor of a client that has not been under load.
const FULL: u64 = 100;

impl Adaptive {
    /// Above 80 % load the limit halves, never under 10 %; each quieter window gives 10 % back.
    #[must_use]
    pub const fn new() -> Self {
        Self { threshold: 80, reduction: 50, recovery: 10, floor: 10 }
    }

    /// The load of a window above which the limit shrinks: 1 to 99 percent of the limit in force.
    #[must_use]
    pub const fn threshold(mut self, percent: u64) -> Self {
        self.threshold = percent;
        self
    }

    /// What the limit shrinks to: 1 to 99 percent of the limit in force.
    #[must_use]
    pub const fn reduction(mut self, percent: u64) -> Self {
        self.reduction = percent;
        self
    }

    /// What a window without too much load gives back: 1 to 100 percent of the full limit.
    #[must_use]
    pub const fn recovery(mut self, percent: u64) -> Self {
        self.recovery = percent;
        self
    }

    /// Under which the limit never shrinks: 1 to 100 percent of the full limit.
    #[must_use]
    pub const fn floor(mut self, percent: u64) -> Self {
        self.floor = percent;
        self
    }

    fn limit(limit: u64, factor: u64) -> u64 {
        percent(limit, factor).max(1)
    }

    /// The factor after a window.
    fn next(&self, limit: u64, factor: u64, used: u64) -> u64 {
        let loaded =
            u128::from(used) * 100 > u128::from(Self::limit(limit, factor)) * u128::from(self.threshold);
        if loaded { percent(factor, self.reduction).max(self.floor) } else { self.recover(factor, 1) }
    }

    /// The factor after so many quiet windows.
    fn recover(&self, factor: u64, windows: u64) -> u64 {
        factor.saturating_add(self.recovery.saturating_mul(windows)).min(FULL)
    }

    /// How many windows from this one on until the factor has reached `target`, with no more use.
    fn windows_until(&self, account: Account, limit: u64, target: u64) -> u64 {
        let next = self.next(limit, account.factor, account.used);
        1 + target.saturating_sub(next).div_ceil(self.recovery)
    }

    fn read(&self, state: &State, now: u64, rate: &Rate) -> Account {
        let period = rate.period_micros();
        let index = now / period;
        let fresh = Account { index, factor: FULL, used: 0 };
        let Some(kept) = state.words().map(|words| Pair::unpack(words, period)) else { return fresh };
        let start = kept.index.saturating_mul(period);
        let ours = (1..=FULL).contains(&kept.older) && skew::believable(start, now, || period);
        if !ours {
            return fresh;
        }
        if kept.index >= index {
            return Account { index: kept.index, factor: kept.older, used: kept.newer };
        }
        let factor = self.next(rate.limit(), kept.older, kept.newer);
        Account { index, factor: self.recover(factor, index - kept.index - 1), used: 0 }
    }
}

/// One client's window: the factor in force and what was used.
#[derive(Debug, Clone, Copy)]
struct Account {
    index: u64,
    factor: u64,
    used: u64,
}

impl Strategy for Adaptive {
    fn name(&self) -> &str {
        "adaptive"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        let bounds = [
            ("threshold", self.threshold, 99),
            ("reduction", self.reduction, 99),
            ("recovery", self.recovery, 100),
        ];
        for (name, value, most) in bounds.into_iter().chain([("floor", self.floor, 100)]) {
            if !(1..=most).contains(&value) {
                return Err(format!("{name} is {value} percent; make it 1 to {most}"));
            }
        }
        pair::validate(rate.limit(), rate.period_micros())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let (full, period) = (ask.rate.limit(), ask.rate.period_micros());
        let mut account = self.read(state, ask.now, ask.rate);
        let limit = Self::limit(full, account.factor);
        let start = account.index * period;
        let after = |windows: u64| (start + windows.saturating_mul(period)).saturating_sub(ask.now);

        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check if ask.cost > full => (false, Verdict::NEVER),
            Op::Hit | Op::Check if account.used.saturating_add(ask.cost) > limit => {
                // The least factor whose limit holds the cost; any holds 1.
                let target =
                    if ask.cost <= 1 { 0 } else { (u128::from(ask.cost) * 100).div_ceil(u128::from(full)) };
                (false, after(self.windows_until(account, full, target as u64)))
            }
            Op::Hit => {
                account.used += ask.cost;
                (true, 0)
            }
            Op::Check | Op::Settle { .. } => (true, 0),
            Op::Refund { at } => {
                if at.is_none_or(|at| at >= start) {
                    account.used = account.used.saturating_sub(ask.cost);
                }
                (true, 0)
            }
            Op::Reset => {
                account = Account { factor: FULL, used: 0, ..account };
                (true, 0)
            }
        };
        let Account { index, factor, used } = account;
        let limit = Self::limit(full, factor);
        let keep =
            if (used, factor) == (0, FULL) { 0 } else { after(self.windows_until(account, full, FULL)) };
        // Even the smallest factor leaves a limit of 1 whole.
        let full_at = if full > 1 || keep == 0 {
            keep
        } else if used > 0 {
            after(1)
        } else {
            0
        };
        if admitted && ask.op.changes() {
            let kept = Pair { index, older: factor, newer: used };
            *state = if keep == 0 { State::Empty } else { kept.pack(period) };
        }
        Verdict {
            admitted,
            limit,
            used,
            remaining: limit.saturating_sub(used),
            wait,
            reset_after: full_at,
            keep_for: keep,
        }
    }
}
