//! [`Unstopped`]: work that is carried to its end even if its caller goes away.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::BoxFuture;

/// A future that is polled by its caller, and by the runtime once the caller has gone.
///
/// For store calls that must not be abandoned half-way: whether they charged is only known once they are
/// answered.
pub(crate) struct Unstopped<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    left: fn(T) -> BoxFuture<'static, ()>,
    /// Called if no runtime carries the work to its end.
    cut: fn(),
}

impl<T: Send + 'static> Unstopped<T> {
    /// `left` handles the outcome if nobody waits for it any more.
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
        // Polled again after its end, it never wakes, as is allowed for futures.
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
            // Boxed, so that the runtime's task code is compiled only once.
            let rest: BoxFuture<'static, ()> = Box::pin(async move {
                left(work.await).await;
                undone.done();
            });
            runtime.spawn(rest);
            return;
        }
        // Without a runtime, nobody can carry on.
        drop((work, left));
        (self.cut)();
    }
}

/// Reports work that was left to a runtime and was dropped with it, before it was done.
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
