//! [`DenialCache`]: repeats refusals without asking the store.

mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, BackendError, BoxFuture, Hit, Op, SharedBackend, Verdicts};
use crate::clock::{Clock, SystemClock};

pub(crate) use table::Denials;

/// Remembers refusals: until its `retry_after` is over, a refused client is answered here, and the backend
/// behind hears nothing of it. An attack then costs the store one call per client and window.
///
/// It is meant for backends at the other end of a network; a Redis backend has one built in
/// (`RedisBackendBuilder::remember_denials`). This is a cheap handle: clones share what they remember. All
/// throttles on one backend should share it, too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), traffik::Error> {
/// use traffik::{DenialCache, MemoryBackend, Throttle};
///
/// # let far_away = MemoryBackend::new();
/// let cached = DenialCache::new(far_away, 100_000);
/// let throttle = Throttle::builder("docs:denials").rate("1/min").backend(cached).build()?;
/// assert!(throttle.hit("ann").await?.is_allowed());
/// assert!(!throttle.hit("ann").await?.is_allowed());
/// assert!(!throttle.hit("ann").await?.is_allowed()); // answered here
/// # Ok(()) }
/// ```
///
/// # What it never does
///
/// - **Refuse wrongly.** A refusal of cost 10 says nothing about cost 1, so each cost is remembered
///   separately (up to four per account), and for any other cost the backend is asked. It is also asked if
///   the client's rate, strategy, tier or priority has changed.
/// - **Report another throttle.** A stack is answered here only if everything that the backend said about it
///   still holds. Room under a strategy whose [room does not stand](crate::strategy::Strategy::room_stands),
///   such as [`TimeOfDay`](crate::strategy::TimeOfDay), is not remembered.
/// - **Outlive a change.** `refund` and `reset` through this handle, and any hit that passes, make it forget
///   the account. A change made by another process is seen once the refusal has run out.
///
/// `retry_after` and `reset_after` count down from the moment the backend's answer arrived: they are never too short,
/// and at most as much too long as that answer took. `limit`, `used` and `remaining` are those of the refusal. In
/// strategies that refill evenly, they leave out what has been refilled since, so they promise too little
/// rather than too much. Where a new window or hour changes the limit (`TimeOfDay`, `Adaptive`, `Rollover`)
/// before the refusal has run out, they are out of date either way.
///
/// The backend is always asked about strategies whose [refusals do not
/// stand](crate::strategy::Strategy::refusals_stand), such as
/// [`CostAdaptive`](crate::strategy::CostAdaptive), which refills faster after cheap hits.
#[derive(Clone)]
pub struct DenialCache(Arc<Inner>);

struct Inner {
    backend: SharedBackend,
    denials: Denials,
}

impl DenialCache {
    /// Puts a cache of up to `clients` accounts in front of a backend: at least 1, and at most 2^24.
    pub fn new(backend: impl Into<SharedBackend>, clients: usize) -> Self {
        Self::with_clock(backend, clients, SystemClock)
    }

    /// Like [`new`](Self::new), with the clock that measures waits. It need not agree with the backend's
    /// about the time of day, but has to run at the same speed.
    pub fn with_clock(backend: impl Into<SharedBackend>, clients: usize, clock: impl Clock) -> Self {
        let denials = Denials::new(clients, Arc::new(clock));
        Self(Arc::new(Inner { backend: backend.into(), denials }))
    }

    /// Returns how many accounts are currently remembered, including those whose wait is over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.denials.len()
    }

    /// Whether no account is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for DenialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenialCache").field("backend", &self.0.backend).field("len", &self.len()).finish()
    }
}

impl Backend for DenialCache {
    fn name(&self) -> &'static str {
        self.0.backend.get().name()
    }

    fn address(&self) -> Option<&str> {
        self.0.backend.get().address()
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        let Inner { backend, denials } = &*self.0;
        Box::pin(denials.ask(op, hits, async move { backend.get().decide(op, hits).await }))
    }

    fn recall(&self, op: Op, hits: &[Hit<'_>]) -> Option<Verdicts> {
        self.0.denials.recall(op, hits)
    }

    fn store(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }

    fn deadline(&self) -> Option<Duration> {
        self.0.backend.get().deadline()
    }
}
