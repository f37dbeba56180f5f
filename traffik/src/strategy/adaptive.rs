//! [`Adaptive`]: a limit that shrinks under load and recovers after it.

use super::exact::percent;
use super::{Ask, Op, State, Strategy, Verdict, WindowCounts, skew, window_counts};
use crate::rate::Rate;

/// A calendar window whose limit follows the load of the previous windows: `used + c ≤ L · f / 100`, at
/// least 1. The factor `f` starts at 100. After a window that used more than `threshold` percent of the
/// limit in force, it drops to `reduction` percent of its value, but never below `floor`; after any other
/// window it grows by `recovery`, up to 100.
///
/// State, 16 bytes a client: the factor, the units used and whether they were too many, in two words. Round
/// trips: 0 in memory, 2 on Redis.
///
/// **When:** clients that keep hammering at their limit should be slowed until they calm down.
/// **When not:** to react to the load of the *server*: this strategy sees only the client's own hits.
///
/// A changed limit or knob keeps the factor and the units used; a window is judged by the limit and knobs
/// under which it was last used. A changed period starts afresh. A refund only counts in the current
/// window.
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
    /// Creates the strategy with its defaults: above 80 % load the limit halves, but never below 10 %; each
    /// quieter window gives 10 % back.
    #[must_use]
    pub const fn new() -> Self {
        Self { threshold: 80, reduction: 50, recovery: 10, floor: 10 }
    }

    /// Sets the load of a window above which the limit shrinks: 1 to 99 percent of the limit in force.
    #[must_use]
    pub const fn threshold(mut self, percent: u64) -> Self {
        self.threshold = percent;
        self
    }

    /// Sets what the limit shrinks to: 1 to 99 percent of the limit in force.
    #[must_use]
    pub const fn reduction(mut self, percent: u64) -> Self {
        self.reduction = percent;
        self
    }

    /// Sets what a window without too much load gives back: 1 to 100 percent of the full limit.
    #[must_use]
    pub const fn recovery(mut self, percent: u64) -> Self {
        self.recovery = percent;
        self
    }

    /// Sets the lowest value that the limit shrinks to: 1 to 100 percent of the full limit.
    #[must_use]
    pub const fn floor(mut self, percent: u64) -> Self {
        self.floor = percent;
        self
    }

    fn limit(limit: u64, factor: u64) -> u64 {
        percent(limit, factor).max(1)
    }

    /// Whether this much use makes the limit shrink.
    fn overloads(&self, limit: u64, factor: u64, used: u64) -> bool {
        u128::from(used) * 100 > u128::from(Self::limit(limit, factor)) * u128::from(self.threshold)
    }

    /// The factor after this window.
    fn next(&self, window: AdaptiveWindow) -> u64 {
        if window.loaded {
            percent(window.factor, self.reduction).max(self.floor)
        } else {
            self.recover(window.factor, 1)
        }
    }

    /// The factor after this many quiet windows.
    fn recover(&self, factor: u64, windows: u64) -> u64 {
        factor.saturating_add(self.recovery.saturating_mul(windows)).min(FULL)
    }

    /// The number of windows, counted from this one, until the factor has reached `target` without further
    /// use.
    fn windows_until(&self, window: AdaptiveWindow, target: u64) -> u64 {
        1 + target.saturating_sub(self.next(window)).div_ceil(self.recovery)
    }

    fn read(&self, state: &State, now: u64, period: u64) -> AdaptiveWindow {
        let index = now / period;
        let fresh = AdaptiveWindow { index, factor: FULL, used: 0, loaded: false };
        let Some(kept) = state.words().and_then(|words| AdaptiveWindow::unpack(words, period)) else {
            return fresh;
        };
        if !skew::believable(kept.index.saturating_mul(period), now, || period) {
            return fresh;
        }
        if kept.index >= index {
            return kept;
        }
        AdaptiveWindow { factor: self.recover(self.next(kept), index - kept.index - 1), ..fresh }
    }
}

/// One client's window: the factor in force, the units used, and whether they are too many. The latter is
/// stored so that later changes of the limit don't affect how long the factor takes to recover.
#[derive(Debug, Clone, Copy)]
struct AdaptiveWindow {
    index: u64,
    factor: u64,
    used: u64,
    loaded: bool,
}

/// Marks an overloaded window. Stored above the factor, in the older of two [`WindowCounts`].
const LOADED: u64 = FULL.next_power_of_two();

impl AdaptiveWindow {
    fn unpack(words: [u64; 2], period: u64) -> Option<Self> {
        let WindowCounts { index, older, newer } = WindowCounts::unpack(words, period);
        let (factor, loaded) = (older % LOADED, older / LOADED);
        let ours = (1..=FULL).contains(&factor) && loaded <= 1;
        ours.then_some(Self { index, factor, used: newer, loaded: loaded == 1 })
    }

    fn pack(self, period: u64) -> State {
        let older = self.factor + if self.loaded { LOADED } else { 0 };
        WindowCounts { index: self.index, older, newer: self.used }.pack(period)
    }
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
        window_counts::validate(rate.limit(), rate.period_micros())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    /// The limit shrinks when an overloaded window ends.
    fn room_stands(&self) -> bool {
        false
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let (full, period) = (ask.rate.limit(), ask.rate.period_micros());
        let mut window = self.read(state, ask.now, period);
        let limit = Self::limit(full, window.factor);
        let start = window.index * period;
        let after = |windows: u64| (start + windows.saturating_mul(period)).saturating_sub(ask.now);

        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check if ask.cost > full => (false, Verdict::NEVER),
            Op::Hit | Op::Check if window.used.saturating_add(ask.cost) > limit => {
                // The smallest factor whose limit holds the cost; any factor holds 1.
                let target =
                    if ask.cost <= 1 { 0 } else { (u128::from(ask.cost) * 100).div_ceil(u128::from(full)) };
                (false, after(self.windows_until(window, target as u64)))
            }
            Op::Hit => {
                window.used += ask.cost;
                (true, 0)
            }
            Op::Check | Op::Settle { .. } => (true, 0),
            Op::Refund { at } => {
                if at.is_none_or(|at| at >= start) {
                    window.used = window.used.saturating_sub(ask.cost);
                }
                (true, 0)
            }
            Op::Reset => {
                window = AdaptiveWindow { factor: FULL, used: 0, ..window };
                (true, 0)
            }
        };
        let AdaptiveWindow { factor, used, .. } = window;
        if admitted && ask.op.changes() {
            window.loaded = self.overloads(full, factor, used);
        }
        let limit = Self::limit(full, factor);
        let keep = if (used, factor) == (0, FULL) { 0 } else { after(self.windows_until(window, FULL)) };
        // Even the smallest factor leaves a limit of 1 unchanged.
        let full_at = if full > 1 || keep == 0 {
            keep
        } else if used > 0 {
            after(1)
        } else {
            0
        };
        if admitted && ask.op.changes() {
            *state = if keep == 0 { State::Empty } else { window.pack(period) };
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
