//! The backend of the current context, on which dynamic throttles count.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::SharedBackend;

thread_local! {
    static CURRENT: RefCell<Option<SharedBackend>> = const { RefCell::new(None) };
}

/// Returns the innermost context's backend.
pub(crate) fn current() -> Option<SharedBackend> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `work` in the context of `backend`, and restores the previous context afterwards, even if
/// `work` panics.
pub(crate) fn enter<T>(backend: &SharedBackend, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<SharedBackend>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(backend.clone())));
    work()
}

/// A future that runs in a backend's context. Made by [`SharedBackend::scope`].
#[must_use = "futures do nothing unless polled"]
pub struct Scope<F> {
    backend: SharedBackend,
    // Boxed to be pinned without a projection macro, so that the engine depends on none.
    future: Pin<Box<F>>,
}

impl<F: Future> Scope<F> {
    pub(crate) fn new(backend: SharedBackend, future: F) -> Self {
        Self { backend, future: Box::pin(future) }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        enter(&this.backend, || this.future.as_mut().poll(cx))
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("backend", &self.backend).finish_non_exhaustive()
    }
}
