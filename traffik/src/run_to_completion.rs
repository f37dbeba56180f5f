//! [`RunToCompletion`]: work that is carried to its end even if its caller goes away.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::box_future::BoxFuture;

/// Why work was not carried to its end. In each case what is lost is a refund.
const NO_RUNTIME: &str = "the client disconnected, and no runtime is available to refund the charge";

/// A future that is polled by its caller, and by the runtime once the caller has gone.
///
/// For store calls that must not be abandoned half-way: whether they charged is only known once they are
/// answered.
pub(crate) struct RunToCompletion<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    on_abandoned: fn(T) -> BoxFuture<'static, ()>,
    /// Told so if no runtime carries the work to its end.
    on_lost: fn(&dyn Display),
}

impl<T: Send + 'static> RunToCompletion<T> {
    /// `on_abandoned` handles the outcome if nobody waits for it any more.
    pub(crate) fn new(
        work: impl Future<Output = T> + Send + 'static,
        on_abandoned: fn(T) -> BoxFuture<'static, ()>,
        on_lost: fn(&dyn Display),
    ) -> Self {
        Self { work: Some(Box::pin(work)), on_abandoned, on_lost }
    }
}

impl RunToCompletion<()> {
    /// For work that has no outcome: nothing follows it, whether or not somebody waits.
    pub(crate) fn finish(work: impl Future<Output = ()> + Send + 'static, on_lost: fn(&dyn Display)) -> Self {
        Self::new(work, |()| Box::pin(std::future::ready(())), on_lost)
    }
}

impl<T: Send + 'static> Future for RunToCompletion<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out meanwhile, so that work that panics is dropped, and the runtime does not poll it again. Polled
        // again after completion, it stays pending, as a future may.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for RunToCompletion<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let Self { on_abandoned, on_lost, .. } = *self;
        #[cfg(feature = "tokio")]
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let drop_warning = DropWarning::new(move || on_lost(&NO_RUNTIME));
            // Boxed, so that the runtime's task code is compiled only once.
            let rest: BoxFuture<'static, ()> = Box::pin(async move {
                on_abandoned(work.await).await;
                drop_warning.disarm();
            });
            runtime.spawn(rest);
            return;
        }
        // Without a runtime, nobody can carry on.
        drop((work, on_abandoned));
        on_lost(&NO_RUNTIME);
    }
}

/// Reports work that was left to a runtime and was dropped with it, before it was done.
#[cfg(feature = "tokio")]
pub(crate) struct DropWarning<F: Fn()>(Option<F>);

#[cfg(feature = "tokio")]
impl<F: Fn()> DropWarning<F> {
    pub(crate) fn new(tell: F) -> Self {
        Self(Some(tell))
    }

    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

#[cfg(feature = "tokio")]
impl<F: Fn()> Drop for DropWarning<F> {
    fn drop(&mut self) {
        if let Some(tell) = &self.0 {
            tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_over() {
        static POLLS: AtomicU32 = AtomicU32::new(0);
        static WARNINGS: AtomicU32 = AtomicU32::new(0);

        let work = poll_fn(|_| -> Poll<()> {
            POLLS.fetch_add(1, Ordering::Relaxed);
            panic!("a backend that panics")
        });
        let warn = |_: &dyn Display| {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        };
        let caller = tokio::spawn(RunToCompletion::finish(work, warn));
        assert!(caller.await.is_err_and(|error| error.is_panic()));
        tokio::task::yield_now().await;
        assert_eq!(POLLS.load(Ordering::Relaxed), 1, "the runtime did not poll it again");
        assert_eq!(WARNINGS.load(Ordering::Relaxed), 0, "the client has not gone away");
    }
}
