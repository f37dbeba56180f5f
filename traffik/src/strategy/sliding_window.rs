//! [`SlidingWindow`]: a sliding window made of two counters.

use super::exact::{muldiv, muldiv_up};
use super::{Ask, Op, State, Strategy, Twin, Verdict, WindowCounts, window_counts};
use crate::rate::Rate;

/// The sliding window counter: `ceil(prev · (P − e) / P) + cur + c ≤ L`, where `cur` and `prev` are the
/// counts of the current calendar window, which is `e` old, and of the previous one. The previous count
/// fades out evenly as the current window ages.
///
/// State, 16 bytes a client: two counts and a time, in two words. Round trips: 0 in memory, 1 on Redis.
/// Source: Cloudflare, "How we built rate limiting capable of scaling to millions of domains" (2017); here
/// without its floats.
///
/// **When:** as [`FixedWindow`](super::FixedWindow), but without the double burst around the edge of a
/// window. **When not:** the count over any period must be exact to the unit
/// ([`SlidingLog`](super::SlidingLog)): this strategy assumes that hits are spread evenly over their
/// window.
///
/// A changed limit keeps what was used; a changed period starts afresh. A refund goes to the window of the
/// charge, if that is the current or the previous one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlidingWindow;

impl SlidingWindow {
    /// Creates the strategy. Windows start at multiples of the period since the Unix epoch.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Bits of each count that are added to a window's start in the packed state, for the Lua twin.
    #[cfg(feature = "redis")]
    pub(crate) const fn high_bits(period: u64) -> u32 {
        window_counts::high_bits(period)
    }
}

/// The first age of a window at which `floor(fading · age / period) ≥ need`, for `need ≤ fading`.
fn age_when_gone(need: u64, fading: u64, period: u64) -> u64 {
    if need == 0 {
        return 0;
    }
    muldiv_up(need, period, fading)
}

/// The first instant at which a refused `cost ≤ limit` passes, if nothing else passes before.
fn first_room(counts: WindowCounts, cost: u64, limit: u64, period: u64) -> u64 {
    // In this window the older count has to fade; in the next one the newer count, with nothing added.
    let taken = counts.newer.saturating_add(cost);
    let this = counts.older.saturating_add(taken) - limit;
    if this <= counts.older {
        // A full period from the start is the next window's first instant, where the result holds as well.
        return counts.start(period) + age_when_gone(this, counts.older, period);
    }
    counts.start(period) + period + age_when_gone(taken - limit, counts.newer, period)
}

impl Strategy for SlidingWindow {
    fn name(&self) -> &str {
        "sliding_window"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        window_counts::validate(rate.limit(), rate.period_micros())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    #[inline]
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let (limit, period) = (ask.rate.limit(), ask.rate.period_micros());
        let mut counts = WindowCounts::at(state, ask.now, period);
        // A window ahead of the clock has only just begun.
        let age = ask.now.saturating_sub(counts.start(period));
        let weigh = |counts: WindowCounts| counts.older - muldiv(counts.older, age, period).0 + counts.newer;
        let before = weigh(counts);

        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check if ask.cost > limit => (false, Verdict::NEVER),
            Op::Hit | Op::Check if before.saturating_add(ask.cost) > limit => {
                (false, first_room(counts, ask.cost, limit, period) - ask.now)
            }
            _ => {
                counts.apply(ask, state);
                (true, 0)
            }
        };
        let used = weigh(counts);
        let keep = counts.until(period).saturating_sub(ask.now);
        Verdict {
            admitted,
            limit,
            used,
            remaining: limit.saturating_sub(used),
            wait,
            reset_after: keep,
            keep_for: keep,
        }
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::SlidingWindow)
    }
}
