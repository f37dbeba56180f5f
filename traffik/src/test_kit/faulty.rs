//! [`FaultyBackend`]: a backend that fails or responds slowly on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::{Backend, BackendError, BoxFuture, Hit, Op, SharedBackend, Verdicts};
use crate::clock::micros;

/// Wraps a backend, fails or delays calls when told to, and counts them. Clones share this state,
/// so that one can be passed on and another kept to control it.
///
/// A failed call charges nothing; a delayed one charges after the delay. Delays need a tokio
/// runtime (paused time will do).
#[derive(Debug, Clone)]
pub struct FaultyBackend {
    inner: SharedBackend,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many more calls fail.
    failures: AtomicU64,
    delay_micros: AtomicU64,
    calls: AtomicU64,
}

impl FaultyBackend {
    /// Creates a backend that works until told otherwise.
    pub fn new(inner: impl Into<SharedBackend>) -> Self {
        Self { inner: inner.into(), state: Arc::default() }
    }

    /// Makes the next `calls` calls fail.
    #[must_use]
    pub fn fail_next(self, calls: u64) -> Self {
        self.state.failures.store(calls, Ordering::SeqCst);
        self
    }

    /// Makes every call fail until [`heal`](FaultyBackend::heal) is called.
    pub fn fail(&self) {
        self.state.failures.store(u64::MAX, Ordering::SeqCst);
    }

    /// Makes every call take at least this long.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.state.delay_micros.store(micros(delay), Ordering::SeqCst);
        self
    }

    /// Makes all calls succeed again, without delay.
    pub fn heal(&self) {
        self.state.failures.store(0, Ordering::SeqCst);
        self.state.delay_micros.store(0, Ordering::SeqCst);
    }

    /// Returns how often the backend was called, including failed calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    fn fails(&self) -> bool {
        let next = |left: u64| match left {
            0 => None,
            u64::MAX => Some(u64::MAX),
            left => Some(left - 1),
        };
        self.state.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }
}

impl Backend for FaultyBackend {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn address(&self) -> Option<&str> {
        self.inner.get().address()
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let delay = self.state.delay_micros.load(Ordering::SeqCst);
        Box::pin(async move {
            #[cfg(feature = "tokio")]
            if delay > 0 {
                tokio::time::sleep(Duration::from_micros(delay)).await;
            }
            #[cfg(not(feature = "tokio"))]
            let _ = delay;
            if self.fails() {
                return Err(BackendError::new("failed as told"));
            }
            self.inner.get().decide(op, hits).await
        })
    }

    fn store(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.state).addr())
    }

    fn deadline(&self) -> Option<Duration> {
        self.inner.get().deadline().or(Some(crate::DEFAULT_DEADLINE))
    }
}
