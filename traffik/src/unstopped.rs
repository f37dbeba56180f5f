//! [`Unstopped`]: work that is done to its end even if whoever waits for it goes away.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::BoxFuture;

/// A future that is polled by whoever awaits it, and by the runtime once that one has gone.
///
/// For calls of a store that must not be left half-way: whether they charged is known only when they
/// are answered.
pub(crate) struct Unstopped<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    left: fn(T) -> BoxFuture<'static, ()>,
    /// What it means if no runtime is there to go on.
    cut: fn(),
}

impl<T: Send + 'static> Unstopped<T> {
    /// `left` is what to do with the outcome if nobody waits for it any more.
    pub(crate) fn new(
        work: impl Future<Output = T> + Send + 'static,
        left: fn(T) -> BoxFuture<'static, ()>,
        cut: fn(),
    ) -> Self {
        Self { work: Some(Box::pin(work)), left, cut }
    }
}

impl<T: Send + 'static> Future for Unstopped<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Polled again after its end it never wakes, as futures may.
        let Some(work) = &mut self.work else { return Poll::Pending };
        let outcome = std::task::ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(outcome)
    }
}

impl<T: Send + 'static> Drop for Unstopped<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let left = self.left;
        #[cfg(feature = "tokio")]
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let undone = Undone::new(self.cut);
            // Boxed, so that the runtime's tasks are compiled once.
            let rest: BoxFuture<'static, ()> = Box::pin(async move {
                left(work.await).await;
                undone.done();
            });
            runtime.spawn(rest);
            return;
        }
        // Without a runtime there is nobody to go on.
        drop((work, left));
        (self.cut)();
    }
}

/// Tells of work that is left to a runtime and ends with it, rather than by itself.
#[cfg(feature = "tokio")]
pub(crate) struct Undone<F: Fn()>(Option<F>);

#[cfg(feature = "tokio")]
impl<F: Fn()> Undone<F> {
    pub(crate) fn new(tell: F) -> Self {
        Self(Some(tell))
    }

    pub(crate) fn done(mut self) {
        self.0 = None;
    }
}

#[cfg(feature = "tokio")]
impl<F: Fn()> Drop for Undone<F> {
    fn drop(&mut self) {
        if let Some(tell) = &self.0 {
            tell();
        }
    }
}
