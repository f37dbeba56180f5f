//! Backends that watch other backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use traffik::{Backend, BackendError, BoxFuture, Hit, Op, SharedBackend, Verdicts};

/// Counts the calls that reach a backend. Clones share the count.
#[derive(Debug, Clone)]
pub struct Counting {
    inner: SharedBackend,
    calls: Arc<AtomicU64>,
}

impl Counting {
    /// Watches `inner`.
    pub fn new(inner: impl Into<SharedBackend>) -> Self {
        Self { inner: inner.into(), calls: Arc::default() }
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.get().decide(op, hits)
    }

    fn deadline(&self) -> Option<Duration> {
        self.inner.get().deadline()
    }
}

/// Asks two backends everything, and panics when they differ in any number.
#[derive(Debug, Clone)]
pub struct Mirror {
    one: SharedBackend,
    other: SharedBackend,
}

impl Mirror {
    /// Compares `other` with `one`.
    pub fn new(one: impl Into<SharedBackend>, other: impl Into<SharedBackend>) -> Self {
        Self { one: one.into(), other: other.into() }
    }
}

impl Backend for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        Box::pin(async move {
            let one = self.one.get().decide(op, hits).await?;
            let other = self.other.get().decide(op, hits).await?;
            let (names, hits) = ((self.one.get().name(), self.other.get().name()), hits);
            assert_eq!(one, other, "{names:?} differ on {op:?} of {hits:?}");
            Ok(one)
        })
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }
}
