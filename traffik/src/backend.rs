//! Backends: stores that hold counters and decide batches of hits atomically.

pub(crate) mod context;
pub(crate) mod denials;
mod hit;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod shared;
mod verdicts;

use std::fmt;
use std::time::Duration;

pub use hit::Hit;
pub(crate) use hit::OwnedHit;
pub use shared::SharedBackend;
pub use verdicts::Verdicts;

pub use crate::box_future::BoxFuture;
pub use crate::error::BackendError;
pub use crate::strategy::{Op, Verdict};

/// The default deadline of one backend call: 100 ms.
pub const DEFAULT_DEADLINE: Duration = Duration::from_millis(100);

/// A store of counters that decides a batch of hits as one.
///
/// The contract, which `test_kit::conformance` verifies:
///
/// - **All or nothing.** [`Op::Hit`] charges every hit of the batch, or none of them if one is refused.
///   Other calls never see a batch half-done.
/// - **One step.** The decision is that of [`Strategy::step`](crate::strategy::Strategy::step), taken once
///   on each key's state. [`Hit::step`] takes it.
/// - **Distinct keys.** A batch never names a key twice.
/// - **An error is not a verdict.** If the store cannot decide, return [`BackendError`], never a refusal.
/// - **Forgetting.** A state may be dropped once [`Verdict::keep_for`] has passed, and must be dropped
///   within a second after that.
///
/// The guide builds a backend step by step, in `docs::writing_a_backend`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend",
    note = "use `MemoryBackend`, `RedisBackend`, or implement `traffik::Backend` for your own store"
)]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Returns a short name for logs and metrics: `memory`, `redis`.
    fn name(&self) -> &'static str;

    /// Returns where the store is, for messages to operators, such as the address of a server. Leave out credentials.
    fn address(&self) -> Option<&str> {
        None
    }

    /// Decides a batch of hits.
    ///
    /// Dropping the future must leave nothing locked and nothing half-charged.
    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>>;

    /// Decides a batch without waiting, for stores that never wait. `None` makes the caller use
    /// [`decide`](Backend::decide); a store returns `Some` either always or never.
    fn decide_now(&self, op: Op, hits: &[Hit<'_>]) -> Option<Result<Verdicts, BackendError>> {
        let _ = (op, hits);
        None
    }

    /// Returns whether [`decide_now`](Backend::decide_now) returns `Some`.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Answers a hit or a check whose outcome is already known: a refusal that a cache in front of the
    /// store [remembers](crate::DenialCache). This is called first, and does not wait. `None` makes the
    /// caller go on to [`decide`](Backend::decide).
    fn recall(&self, op: Op, hits: &[Hit<'_>]) -> Option<Verdicts> {
        let _ = (op, hits);
        None
    }

    /// Returns what tells this store apart from others of its kind, such as the address of what its handles
    /// share: all handles of one store return the same value. Hits on one store are decided in one call.
    /// With `None`, every handle that is converted into a [`SharedBackend`] counts as a store of its own.
    fn store(&self) -> Option<usize> {
        None
    }

    /// Returns the longest that one call may take; `None` for no bound. A timer of the tokio runtime enforces it, so a
    /// runtime built by hand needs `enable_time`: tokio panics if its timers are off. Outside of tokio, or without
    /// the feature `tokio`, the store has to keep the bound itself.
    fn deadline(&self) -> Option<Duration> {
        Some(DEFAULT_DEADLINE)
    }
}
