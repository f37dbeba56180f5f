//! Backends that watch other backends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

/// Notes how long the store has to keep what the last call was about. Clones share the note.
#[derive(Debug, Clone)]
pub struct Noted {
    inner: SharedBackend,
    keep_for: Arc<Mutex<Duration>>,
}

impl Noted {
    /// Watches `inner`.
    pub fn new(inner: impl Into<SharedBackend>) -> Self {
        Self { inner: inner.into(), keep_for: Arc::default() }
    }

    /// [`traffik::strategy::Verdict::keep_for`] of the last call's first hit.
    #[must_use]
    pub fn keep_for(&self) -> Duration {
        *self.keep_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Noted {
    fn name(&self) -> &'static str {
        "noted"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        Box::pin(async move {
            let verdicts = self.inner.get().decide(op, hits).await?;
            let keep = verdicts.each().first().map_or(0, |verdict| verdict.keep_for);
            *self.keep_for.lock().unwrap_or_else(PoisonError::into_inner) = Duration::from_micros(keep);
            Ok(verdicts)
        })
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
