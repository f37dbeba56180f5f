//! Backends that wrap and observe other backends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use traffik::{Backend, BackendError, BoxFuture, Hit, Op, SharedBackend, Verdicts};

/// A backend that records how long the store must keep the state of the last call. Clones share the record.
#[derive(Debug, Clone)]
pub struct Noted {
    inner: SharedBackend,
    keep_for: Arc<Mutex<Duration>>,
}

impl Noted {
    /// Wraps `inner`.
    pub fn new(inner: impl Into<SharedBackend>) -> Self {
        Self { inner: inner.into(), keep_for: Arc::default() }
    }

    /// Returns the [`traffik::strategy::Verdict::keep_for`] of the last call's first hit.
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

/// A backend that passes every call to two others and panics if their verdicts differ in any number.
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
