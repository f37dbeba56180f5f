//! [`Refresher`]: when to ask again where the servers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The least time from the end of a refresh to the next, in ms.
const INTERVAL: u64 = 200;

/// How long one refresh may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Allows one refresh at a time, in the background, with a pause after each.
pub(super) struct Refresher {
    born: Instant,
    /// In ms since `born`.
    next: AtomicU64,
    running: AtomicBool,
    ended: Notify,
}

impl Refresher {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            next: AtomicU64::new(0),
            running: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// How long until a refresh may begin.
    fn due_in(&self) -> Duration {
        Duration::from_millis(self.next.load(Ordering::Relaxed).saturating_sub(self.elapsed()))
    }

    /// Begins a refresh if one may begin now. Returns whether it did, in which case [`end`](Self::end) must follow.
    fn try_begin(&self) -> bool {
        self.due_in().is_zero() && !self.running.swap(true, Ordering::Acquire)
    }

    fn end(&self) {
        self.next.store(self.elapsed().saturating_add(INTERVAL), Ordering::Relaxed);
        self.running.store(false, Ordering::Release);
        self.ended.notify_waiters();
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Something that can ask again where its servers are.
pub(super) trait Refresh: Send + Sync + 'static {
    fn refresher(&self) -> &Refresher;

    /// Asks, and replaces the previous state with the answer.
    fn refresh(&self) -> impl Future<Output = ()> + Send;
}

/// Begins a refresh in the background, if one is due and none is running.
pub(super) fn begin<T: Refresh>(of: &Arc<T>) {
    // A command can be dropped outside any runtime; the next one will begin it.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if !of.refresher().try_begin() {
        return;
    }
    let guard = RefreshGuard(of.clone());
    runtime.spawn(async move {
        // Without success, the previous state stays.
        let _ = tokio::time::timeout(TIMEOUT, guard.0.refresh()).await;
    });
}

/// A running refresh. It ends with its task, however that ends: the runtime may be shut down first.
struct RefreshGuard<T: Refresh>(Arc<T>);

impl<T: Refresh> Drop for RefreshGuard<T> {
    fn drop(&mut self) {
        self.0.refresher().end();
    }
}

/// Waits until a refresh has finished that began no earlier than the one now running. For a command that was not
/// sent because there was nobody to send it to; its deadline ends the wait.
pub(super) async fn wait<T: Refresh>(of: &Arc<T>) {
    let refresher = of.refresher();
    loop {
        // Registered before the refresh begins, so that its end is not missed.
        let ended = refresher.ended.notified();
        begin(of);
        if refresher.running.load(Ordering::Acquire) {
            return ended.await;
        }
        // Pause for at least 1 ms, in case one refresh has ended and the next is not due yet.
        tokio::time::sleep(refresher.due_in().max(Duration::from_millis(1))).await;
    }
}

/// A command in flight. If it gets no answer, even because the deadline passed, a refresh is begun.
pub(super) struct RefreshUnlessAnswered<'a, T: Refresh> {
    pub(super) of: &'a Arc<T>,
    pub(super) answered: bool,
}

impl<T: Refresh> Drop for RefreshUnlessAnswered<'_, T> {
    fn drop(&mut self) {
        if !self.answered {
            begin(self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never finishes its first refresh.
    struct Slow(Refresher, AtomicU64);

    impl Refresh for Slow {
        fn refresher(&self) -> &Refresher {
            &self.0
        }

        async fn refresh(&self) {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
        }
    }

    #[test]
    fn a_refresh_that_goes_with_its_runtime_is_not_the_last() {
        let slow = Arc::new(Slow(Refresher::new(), AtomicU64::new(0)));
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime().block_on(async {
            begin(&slow);
            tokio::task::yield_now().await;
        });
        assert_eq!(slow.1.load(Ordering::SeqCst), 1);
        runtime().block_on(wait(&slow));
        assert_eq!(slow.1.load(Ordering::SeqCst), 2);
    }
}
