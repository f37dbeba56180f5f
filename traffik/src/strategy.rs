//! Strategies: the arithmetic of counting, as pure steps over a small state.
//!
//! A strategy knows no store, no clock and no async. [`Strategy::step`] takes a client's state, the
//! present instant and a cost, and says whether that passes and what the state is then. Every
//! backend runs that same step: in memory under the key's own lock, on Redis as a Lua twin, on any
//! other store by compare-and-swap over [`State::encode`].
//!
//! The core, each with a Lua twin (one round trip on Redis):
//!
//! | strategy | in one sentence |
//! |---|---|
//! | [`FixedWindow`] | so many per calendar window; the default |
//! | [`SlidingWindow`] | so many per window, the last one fading out: two counters, no double burst |
//! | [`SlidingLog`] | so many in any period whatsoever, to the microsecond, at 16 bytes a hit |
//! | [`TokenBucket`] | tokens drip in, bursts spend them, optionally on credit |
//! | [`LeakyBucket`] | a level that rises with hits and leaks evenly |
//! | [`LeakyQueue`] | a strict queue whose entries leave whole, each at its turn |
//! | [`Gcra`] | evenly spaced hits, with room for a small burst |
//!
//! For narrower problems (compare-and-swap on Redis, two round trips):
//!
//! | strategy | in one sentence |
//! |---|---|
//! | [`Tiered`] | the limit times what the client's tier is worth |
//! | [`PriorityReserve`] | the last part of the limit is kept for hits of higher priority |
//! | [`Rollover`] | a part of the last period's unused quota is added |
//! | [`TimeOfDay`] | other hours, other limits |
//! | [`Adaptive`] | the limit shrinks under load and recovers after it |
//! | [`CostAdaptive`] | the refill slows for clients whose hits are expensive |

mod account;
mod adaptive;
mod bucket;
mod cost_adaptive;
mod divisor;
mod exact;
mod fixed_window;
mod gcra;
mod leaky_bucket;
mod leaky_queue;
mod log;
mod pair;
mod priority_reserve;
mod queue;
mod rollover;
mod skew;
mod sliding_log;
mod sliding_window;
mod state;
#[cfg(test)]
mod tests;
mod tiered;
mod time_of_day;
mod token_bucket;
mod window;

use std::fmt;

pub use adaptive::Adaptive;
pub use cost_adaptive::CostAdaptive;
pub use fixed_window::FixedWindow;
pub use gcra::Gcra;
pub use leaky_bucket::LeakyBucket;
pub use leaky_queue::LeakyQueue;
pub use priority_reserve::PriorityReserve;
pub use rollover::Rollover;
pub use sliding_log::SlidingLog;
pub use sliding_window::SlidingWindow;
pub use state::State;
pub use tiered::Tiered;
pub use time_of_day::TimeOfDay;
pub use token_bucket::TokenBucket;

pub(crate) use account::Account;
#[cfg(feature = "memory")]
pub(crate) use account::{Balance, Taken};
pub(crate) use bucket::Bucket;
use pair::Pair;
use window::Window;

use crate::identity::Who;
use crate::rate::Rate;

pub use crate::backend::{Op, Verdict};

/// The largest integer below which every integer is exact in an IEEE double, and so in Lua: 2^53.
pub const EXACT: u64 = 1 << 53;

/// A way of counting, as a pure step.
///
/// Implement it for a rule of your own: it then runs unchanged on every backend. The step must be
/// deterministic and must use integers only, since several processes may take it for one client.
///
/// The guide writes one step by step, in `docs::writing_a_strategy`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a strategy",
    note = "pass one of `traffik::strategy::*`, such as `TokenBucket::new().burst(50)`, or implement `Strategy`"
)]
pub trait Strategy: fmt::Debug + Send + Sync + 'static {
    /// A short word (`a-z 0-9 _ -`, at most 24) that names the strategy and its state's layout.
    fn name(&self) -> &str;

    /// Whether this strategy can count this rate exactly.
    ///
    /// # Errors
    /// A sentence that names the value, the bound and the mend.
    fn validate(&self, rate: &Rate) -> Result<(), String>;

    /// The most one client can hold under `rate`: a cost above it can never pass.
    fn capacity(&self, rate: &Rate) -> u64;

    /// Names the meaning of a state; equal tags share it. By default the name and the period: a
    /// changed limit keeps what was used.
    fn tag(&self, rate: &Rate) -> String {
        format!("{}~{}", self.name(), rate.period_micros())
    }

    /// Takes one step. The state may be changed only where [`Op`] says so, and never by a refusal.
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict;

    /// Whether a refused cost stays refused until time has passed, or units are given back: what a
    /// [`DenialCache`](crate::DenialCache) goes by. `false` where another hit can make room.
    fn refusals_stand(&self) -> bool {
        true
    }

    /// Whether [`Ask::phase`] is read; computing it costs a hash.
    fn staggered(&self) -> bool {
        false
    }

    /// The strategy's Lua twin, for those this crate brings. Others leave it at `None` and run by
    /// compare-and-swap.
    #[doc(hidden)]
    fn twin(&self) -> Option<Twin> {
        None
    }
}

/// The question that a step answers.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// What to do.
    pub op: Op,
    /// The present instant, in microseconds since the Unix epoch.
    pub now: u64,
    /// The rate: one that [`Strategy::validate`] has agreed to, and never the unlimited one.
    pub rate: &'a Rate,
    /// Units asked for (or given back).
    pub cost: u64,
    /// The client: its tier and priority.
    pub who: Who<'a>,
    /// A hash of the client, the same in every process, for strategies that are
    /// [`staggered`](Strategy::staggered); else 0.
    pub phase: u64,
    /// In a refund: when the account, as the charge left it, would have been full again, in
    /// microseconds since the Unix epoch. From then on nothing is left of the charge that could be
    /// given back; `u64::MAX` where that is not known. What leaks away needs it, as windows need
    /// [`Op::Refund`]'s `at`.
    pub gone_at: u64,
}

impl<'a> Ask<'a> {
    /// A question about an anonymous client, for trying a strategy out by hand.
    #[must_use]
    pub fn new(op: Op, now: u64, rate: &'a Rate, cost: u64) -> Self {
        Self {
            op,
            now,
            rate,
            cost,
            who: Who::of(crate::identity::KindRef::Anonymous),
            phase: 0,
            gone_at: u64::MAX,
        }
    }
}

/// Which Lua twin runs a strategy, and with which numbers.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Twin {
    FixedWindow {
        staggered: bool,
    },
    SlidingWindow,
    SlidingLog,
    LeakyQueue,
    /// `burst` defaults to the limit.
    Bucket {
        burst: Option<u64>,
        debt: u64,
    },
}

/// Any strategy, shared or not, as the builder takes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a strategy",
    note = "pass one of `traffik::strategy::*`, such as `TokenBucket::new().burst(50)`, or implement `Strategy`"
)]
pub trait IntoStrategy {
    /// The shared form.
    fn into_strategy(self) -> std::sync::Arc<dyn Strategy>;
}

impl<S: Strategy> IntoStrategy for S {
    fn into_strategy(self) -> std::sync::Arc<dyn Strategy> {
        std::sync::Arc::new(self)
    }
}

impl IntoStrategy for std::sync::Arc<dyn Strategy> {
    fn into_strategy(self) -> Self {
        self
    }
}
