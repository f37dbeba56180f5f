//! [`Refresher`]: when to ask again where the servers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The least time from the end of a refresh to the next, in ms.
const INTERVAL: u64 = 200;

/// How long one refresh may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// After how long a refresh that has not ended is given up, in ms. Its timeout ends it earlier, unless it was begun on
/// a runtime that nobody drives any more: one that `block_on` has left, and that is kept.
const STALLED: u64 = 6_000;

/// Allows one refresh at a time, in the background, with a pause after each.
pub(super) struct Refresher {
    born: Instant,
    /// In ms since `born`.
    next: AtomicU64,
    /// When the running refresh began, in ms since `born`, plus 1; or 0.
    began: AtomicU64,
    ended: Notify,
}

impl Refresher {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), next: AtomicU64::new(0), began: AtomicU64::new(0), ended: Notify::new() }
    }

    /// How long until a refresh may begin.
    fn due_in(&self) -> Duration {
        Duration::from_millis(self.next.load(Ordering::Relaxed).saturating_sub(self.elapsed()))
    }

    fn is_running(&self) -> bool {
        self.began.load(Ordering::Acquire) != 0
    }

    /// Begins a refresh if one may begin now. Returns its beginning, with which [`end`](Self::end) must follow.
    fn try_begin(&self) -> Option<u64> {
        let (before, now) = (self.began.load(Ordering::Relaxed), self.elapsed().saturating_add(1));
        let may_begin = before == 0 || now.saturating_sub(before) >= STALLED;
        if !may_begin || !self.due_in().is_zero() {
            return None;
        }
        self.began.compare_exchange(before, now, Ordering::Acquire, Ordering::Relaxed).ok().map(|_| now)
    }

    /// Ends the refresh that began at `began`, unless it was given up and another has begun.
    fn end(&self, began: u64) {
        self.next.store(self.elapsed().saturating_add(INTERVAL), Ordering::Relaxed);
        let _ = self.began.compare_exchange(began, 0, Ordering::Release, Ordering::Relaxed);
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
    let Some(began) = of.refresher().try_begin() else { return };
    let guard = RefreshGuard { of: of.clone(), began };
    runtime.spawn(async move {
        // Without success, the previous state stays.
        let _ = tokio::time::timeout(TIMEOUT, guard.of.refresh()).await;
    });
}

/// A running refresh. It ends with its task, however that ends: the runtime may be shut down first.
struct RefreshGuard<T: Refresh> {
    of: Arc<T>,
    began: u64,
}

impl<T: Refresh> Drop for RefreshGuard<T> {
    fn drop(&mut self) {
        self.of.refresher().end(self.began);
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
        if refresher.is_running() {
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
    use tokio::runtime::Builder;

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
        let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
        runtime().block_on(async {
            begin(&slow);
            tokio::task::yield_now().await;
        });
        assert_eq!(slow.1.load(Ordering::SeqCst), 1);
        runtime().block_on(wait(&slow));
        assert_eq!(slow.1.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_refresh_on_a_runtime_that_nobody_drives_is_not_the_last() {
        let slow = Arc::new(Slow(Refresher::new(), AtomicU64::new(0)));
        let runtime =
            |paused| Builder::new_current_thread().enable_time().start_paused(paused).build().unwrap();
        let idle = runtime(false);
        idle.block_on(async {
            begin(&slow);
            tokio::task::yield_now().await;
        });
        runtime(true).block_on(async {
            let soon = tokio::time::timeout(TIMEOUT, wait(&slow)).await;
            assert!(soon.is_err(), "one at a time");
            tokio::time::advance(Duration::from_millis(STALLED)).await;
            tokio::time::timeout(TIMEOUT, wait(&slow)).await.expect("another refresh");
            assert_eq!(slow.1.load(Ordering::SeqCst), 2);
            // The first one ends after all.
            idle.shutdown_background();
            tokio::time::sleep(Duration::from_millis(INTERVAL)).await;
            tokio::time::timeout(TIMEOUT, wait(&slow)).await.expect("a third");
        });
    }
}
