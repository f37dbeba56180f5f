//! [`SharedBackend`]: a handle to any backend.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

#[cfg(feature = "memory")]
use super::memory;
use super::{Backend, BackendError, Hit, Op, Verdicts, context};

/// A cheap handle to any backend.
#[derive(Clone)]
pub struct SharedBackend(Repr);

#[derive(Clone)]
enum Repr {
    #[cfg(feature = "memory")]
    Memory(memory::MemoryBackend),
    Other(Arc<dyn Backend>),
}

impl SharedBackend {
    /// Shares a backend that is already behind an `Arc`.
    #[must_use]
    pub fn from_arc(backend: Arc<dyn Backend>) -> Self {
        Self(Repr::Other(backend))
    }

    /// Returns the backend itself.
    #[must_use]
    pub fn get(&self) -> &dyn Backend {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => memory,
            Repr::Other(other) => &**other,
        }
    }

    /// Returns the backend's name.
    #[inline]
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(_) => memory::MemoryBackend::NAME,
            Repr::Other(other) => other.name(),
        }
    }

    #[inline]
    pub(crate) fn decide_now(&self, op: Op, hits: &[Hit<'_>]) -> Option<Result<Verdicts, BackendError>> {
        match &self.0 {
            // Named, so that the most common path is a direct call.
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => Some(Ok(memory.verdicts_now(op, hits))),
            Repr::Other(other) => other.decide_now(op, hits),
        }
    }

    /// Returns the in-memory store, if this is one: it is immediate and never fails.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn memory(&self) -> Option<&memory::MemoryBackend> {
        match &self.0 {
            Repr::Memory(memory) => Some(memory),
            Repr::Other(_) => None,
        }
    }

    /// Decides into `verdicts`, on a backend that is immediate.
    #[inline]
    pub(crate) fn decide_into(
        &self,
        op: Op,
        hits: &[Hit<'_>],
        verdicts: &mut Verdicts,
    ) -> Result<(), BackendError> {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => memory.decide_into(op, hits, verdicts),
            Repr::Other(other) => *verdicts = ask_now(&**other, op, hits)?,
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn is_immediate(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(_) => true,
            Repr::Other(other) => other.is_immediate(),
        }
    }

    /// Whether this is the in-memory store, which is immediate and never fails.
    #[inline]
    pub(crate) fn is_memory(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(_) => true,
            Repr::Other(_) => false,
        }
    }

    /// Whether both handles refer to the same backend.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            #[cfg(feature = "memory")]
            (Repr::Memory(a), Repr::Memory(b)) => a.same(b),
            (Repr::Other(a), Repr::Other(b)) => {
                Arc::ptr_eq(a, b) || (a.store().is_some() && a.store() == b.store() && a.name() == b.name())
            }
            #[cfg(feature = "memory")]
            _ => false,
        }
    }

    /// Runs a future with this backend as its context, on which dynamic throttles inside count.
    /// Scopes nest, and the innermost wins. A task spawned inside does not inherit the scope.
    pub fn scope<F: Future>(&self, future: F) -> context::Scope<F> {
        context::Scope::new(self.clone(), future)
    }
}

/// Returns the answer of a backend that is immediate.
fn ask_now(backend: &dyn Backend, op: Op, hits: &[Hit<'_>]) -> Result<Verdicts, BackendError> {
    let broken = || BackendError::new("a backend with is_immediate() returned None from decide_now()");
    backend.decide_now(op, hits).ok_or_else(broken)??.checked(backend, hits)
}

impl<B: Backend> From<B> for SharedBackend {
    fn from(backend: B) -> Self {
        #[cfg(feature = "memory")]
        if let Some(memory) = (&backend as &dyn std::any::Any).downcast_ref::<memory::MemoryBackend>() {
            return Self(Repr::Memory(memory.clone()));
        }
        Self(Repr::Other(Arc::new(backend)))
    }
}

impl From<&Self> for SharedBackend {
    fn from(backend: &Self) -> Self {
        backend.clone()
    }
}

impl fmt::Debug for SharedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
