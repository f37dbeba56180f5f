//! Backends: where counters live, and what decides a batch of hits atomically.

pub(crate) mod context;
pub(crate) mod denials;
mod hit;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod shared;
mod verdict;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use hit::Hit;
pub(crate) use hit::OwnedHit;
pub use shared::SharedBackend;
pub use verdict::{Verdict, Verdicts};

pub use crate::error::BackendError;

/// A boxed future, for the paths where one may wait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The default bound on one backend call: 100 ms.
pub const DEFAULT_DEADLINE: Duration = Duration::from_millis(100);

/// A store of counters that decides a batch of hits as one.
///
/// The contract, proven by `test_kit::conformance`:
///
/// - **All or nothing.** [`Op::Hit`] charges every hit of the batch, or none of them if one is
///   refused. Nothing is visible half-way to another call.
/// - **One step.** What is decided is what [`Strategy::step`](crate::strategy::Strategy::step)
///   says, taken once on each key's state. [`Hit::step`] takes it.
/// - **Distinct keys.** A batch never names a key twice.
/// - **An error is no verdict.** Return [`BackendError`] when the store cannot answer; never a
///   refusal.
/// - **Forgetting.** A state may be dropped once [`Verdict::keep_for`] has passed, and must be within a
///   second after.
///
/// The guide writes one step by step, in `docs::writing_a_backend`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend",
    note = "use `MemoryBackend`, `RedisBackend`, or implement `traffik::Backend` for your own store"
)]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A short word for logs and metrics: `memory`, `redis`.
    fn name(&self) -> &'static str;

    /// Decides a batch of hits.
    ///
    /// Dropping the future must leave nothing locked and nothing half-charged.
    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>>;

    /// The same without waiting, for stores that never wait. `None` sends the caller to
    /// [`decide`](Backend::decide); a store answers either always or never here.
    fn decide_now(&self, op: Op, hits: &[Hit<'_>]) -> Option<Result<Verdicts, BackendError>> {
        let _ = (op, hits);
        None
    }

    /// Whether [`decide_now`](Backend::decide_now) answers.
    fn is_immediate(&self) -> bool {
        false
    }

    /// An answer to a hit or a check that is known already: a refusal that a cache in front of the
    /// store [remembers](crate::DenialCache). Asked first, and without waiting; `None` sends the caller
    /// on to [`decide`](Backend::decide).
    fn recall(&self, op: Op, hits: &[Hit<'_>]) -> Option<Verdicts> {
        let _ = (op, hits);
        None
    }

    /// What tells this store from others of its kind: two handles of one store say the same, such
    /// as the address of what they share. Hits on one store are decided in one call. `None`: every
    /// handle that became a [`SharedBackend`] by itself counts as a store of its own.
    fn store(&self) -> Option<usize> {
        None
    }

    /// The longest that one call may take; `None` for no bound.
    fn deadline(&self) -> Option<Duration> {
        Some(DEFAULT_DEADLINE)
    }
}

/// What to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Charge the cost if it fits.
    Hit,
    /// Say whether it would fit, and change nothing.
    Check,
    /// Give the cost back: never above a full account, and never into a later window than the one
    /// that stood at `at` (microseconds since the Unix epoch; `None` is now).
    Refund {
        /// When the charge was made.
        at: Option<u64>,
    },
    /// Correct what was charged at `at` to what was used in the end. A hit that
    /// [gives back](Hit::gives_back) is a refund; any other takes as much of its cost as there is
    /// room for, now, and is never refused: [`Verdict::admitted`] is always true, and
    /// [`Verdict::wait`] counts the units that found no room.
    ///
    /// Strategies are not asked this: [`Hit::step`] takes it as checks, hits and refunds.
    Settle {
        /// When the charge was made.
        at: u64,
    },
    /// Forget the key.
    Reset,
}

impl Op {
    /// Whether a step may change the state.
    #[must_use]
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Check)
    }
}
