//! Strategies: the arithmetic of counting, as pure steps over a small state.
//!
//! A strategy is independent of stores, clocks and async. [`Strategy::step`] takes a client's state, the
//! current time and a cost, decides whether the cost passes, and updates the state. Every backend runs the
//! same step: in memory under the key's own lock, on Redis as an equivalent Lua script (its Lua twin), and
//! on any other store by compare-and-swap over [`State::encode`].
//!
//! The core strategies, each with a Lua twin (one round trip on Redis):
//!
//! | strategy | in one sentence |
//! |---|---|
//! | [`FixedWindow`] | so many units per calendar window; the default |
//! | [`SlidingWindow`] | so many units per window, with the previous window fading out: two counters, no double burst |
//! | [`SlidingLog`] | so many units in any period whatsoever, exact to the microsecond, at 16 bytes per hit |
//! | [`TokenBucket`] | tokens drip in, bursts spend them, optionally on credit |
//! | [`LeakyBucket`] | a level that rises with hits and leaks evenly |
//! | [`LeakyQueue`] | a strict queue whose entries leave whole, each in its turn |
//! | [`Gcra`] | evenly spaced hits, with room for a small burst |
//!
//! For more specific problems (compare-and-swap on Redis, two round trips):
//!
//! | strategy | in one sentence |
//! |---|---|
//! | [`Tiered`] | the limit is multiplied according to the client's tier |
//! | [`PriorityReserve`] | the last part of the limit is reserved for hits of higher priority |
//! | [`Rollover`] | part of the last period's unused quota is added |
//! | [`TimeOfDay`] | different limits at different hours |
//! | [`Adaptive`] | the limit shrinks under load and recovers afterwards |
//! | [`CostAdaptive`] | the refill slows down for clients whose hits are expensive |

mod account;
mod adaptive;
mod bucket;
mod compact_verdict;
mod cost_adaptive;
mod divisor;
mod exact;
mod fixed_window;
mod gcra;
mod leaky_bucket;
mod leaky_queue;
mod log;
mod op;
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
mod verdict;
mod window;
mod window_counts;

use std::fmt;

pub use adaptive::Adaptive;
pub use cost_adaptive::CostAdaptive;
pub use fixed_window::FixedWindow;
pub use gcra::Gcra;
pub use leaky_bucket::LeakyBucket;
pub use leaky_queue::LeakyQueue;
pub use op::Op;
pub use priority_reserve::PriorityReserve;
pub use rollover::Rollover;
pub use sliding_log::SlidingLog;
pub use sliding_window::SlidingWindow;
pub use state::State;
pub use tiered::Tiered;
pub use time_of_day::TimeOfDay;
pub use token_bucket::TokenBucket;
pub use verdict::Verdict;

pub(crate) use account::Account;
pub(crate) use bucket::Bucket;
#[cfg(feature = "memory")]
pub(crate) use compact_verdict::{AdmittedStep, CompactVerdict};
use window::Window;
use window_counts::WindowCounts;

use crate::identity::Who;
use crate::rate::Rate;

/// 2^53: below it, every integer is exact in an IEEE double, and so in Lua.
pub const EXACT: u64 = 1 << 53;

/// A way of counting, as a pure step.
///
/// Implement it for a counting rule of your own, which then runs unchanged on every backend. The step must
/// be deterministic and must use integers only, since several processes may take it for the same client.
///
/// The guide builds a strategy step by step, in `docs::writing_a_strategy`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a strategy",
    note = "pass one of `traffik::strategy::*`, such as `TokenBucket::new().burst(50)`, or implement `Strategy`"
)]
pub trait Strategy: fmt::Debug + Send + Sync + 'static {
    /// Returns a short name (`a-z 0-9 _ -`, at most 24 characters) for the strategy and the layout of its
    /// state.
    fn name(&self) -> &str;

    /// Checks that this strategy can count this rate exactly.
    ///
    /// # Errors
    /// Fails with a message that names the value, the bound and the fix.
    fn validate(&self, rate: &Rate) -> Result<(), String>;

    /// Returns the most that one client can hold under `rate`: a cost above it can never pass.
    fn capacity(&self, rate: &Rate) -> u64;

    /// Returns a tag for the meaning of a state; equal tags share it. By default, it consists of the name
    /// and the period, so that a changed limit keeps what was used.
    fn tag(&self, rate: &Rate) -> String {
        format!("{}~{}", self.name(), rate.period_micros())
    }

    /// Takes one step. It may change the state only for an operation that [changes](Op::changes) it, and never
    /// when it refuses.
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict;

    /// Returns whether a refused cost stays refused until time has passed or units are given back, which a
    /// [`DenialCache`](crate::DenialCache) relies on. Return `false` if another hit can make room.
    fn refusals_stand(&self) -> bool {
        true
    }

    /// Returns whether a cost that fits keeps fitting until something else is charged. A
    /// [`DenialCache`](crate::DenialCache) relies on this when it repeats the refusal of another throttle in a
    /// stack. Return `false` if the passing of time can take room away.
    fn room_stands(&self) -> bool {
        true
    }

    /// Returns whether [`Ask::phase`] is read; computing it costs a hash.
    fn staggered(&self) -> bool {
        false
    }

    /// Returns the strategy's Lua twin, for the strategies of this crate. Others leave it at `None` and run
    /// by compare-and-swap.
    #[doc(hidden)]
    fn twin(&self) -> Option<Twin> {
        None
    }
}

/// The question that a step answers.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// The operation.
    pub op: Op,
    /// The current time, in microseconds since the Unix epoch.
    pub now: u64,
    /// The rate, which [`Strategy::validate`] has accepted and which is never unlimited.
    pub rate: &'a Rate,
    /// The units requested, or given back.
    pub cost: u64,
    /// The client, with its tier and priority.
    pub who: Who<'a>,
    /// A hash of the client, the same in every process, for strategies that are
    /// [`staggered`](Strategy::staggered); otherwise 0.
    pub phase: u64,
    /// For refunds: when the account, as the charge left it, would have been full again, in microseconds
    /// since the Unix epoch; `u64::MAX` if that is not known. From then on, nothing is left of the charge
    /// that could be given back. Strategies whose units leak away need this, just as windows need the `at`
    /// of [`Op::Refund`].
    pub gone_at: u64,
}

impl<'a> Ask<'a> {
    /// Creates a question about an anonymous client, for trying a strategy out by hand.
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

/// The Lua twin that runs a strategy, with its parameters.
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
    /// Converts the value into a shared strategy.
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
