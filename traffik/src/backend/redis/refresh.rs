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
        // Together with the end of a refresh, its pause is seen.
        let (before, now) = (self.began.load(Ordering::Acquire), self.elapsed().saturating_add(1));
        let may_begin = before == 0 || now.saturating_sub(before) >= STALLED;
        if !may_begin || !self.due_in().is_zero() {
            return None;
        }
        self.began.compare_exchange(before, now, Ordering::Acquire, Ordering::Relaxed).ok().map(|_| now)
    }

    /// Ends the refresh that began at `began`, unless it was given up and another has begun.
    fn end(&self, began: u64) {
        self.next.store(self.elapsed().saturating_add(INTERVAL), Ordering::Relaxed);
        if self.began.compare_exchange(began, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            self.ended.notify_waiters();
        }
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
            // If nobody drives it, it is given up by then, and another begins.
            if tokio::time::timeout(Duration::from_millis(STALLED), ended).await.is_ok() {
                return;
            }
            continue;
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
    use std::pin::pin;

    use tokio::runtime::{Builder, Runtime};

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

    fn runtime(paused: bool) -> Runtime {
        Builder::new_current_thread().enable_time().start_paused(paused).build().unwrap()
    }

    /// Begins a refresh on a runtime, which is no longer driven after that.
    fn begin_on(runtime: &Runtime, slow: &Arc<Slow>) {
        runtime.block_on(async {
            begin(slow);
            tokio::task::yield_now().await;
        });
        assert_eq!(slow.1.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_refresh_that_goes_with_its_runtime_is_not_the_last() {
        let slow = Arc::new(Slow(Refresher::new(), AtomicU64::new(0)));
        begin_on(&runtime(false), &slow);
        runtime(false).block_on(wait(&slow));
        assert_eq!(slow.1.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_refresh_on_a_runtime_that_nobody_drives_is_not_the_last() {
        let slow = Arc::new(Slow(Refresher::new(), AtomicU64::new(0)));
        let idle = runtime(false);
        begin_on(&idle, &slow);
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

    /// No other command is there to begin another.
    #[test]
    fn a_single_command_does_not_wait_for_a_refresh_that_nobody_drives() {
        let slow = Arc::new(Slow(Refresher::new(), AtomicU64::new(0)));
        let idle = runtime(false);
        begin_on(&idle, &slow);
        runtime(true).block_on(async {
            let patience = Duration::from_millis(STALLED + INTERVAL);
            tokio::time::timeout(patience, wait(&slow)).await.expect("another refresh");
        });
        assert_eq!(slow.1.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_that_was_given_up_ends_no_other() {
        let refresher = Refresher::new();
        let first = refresher.try_begin().unwrap();
        tokio::time::advance(Duration::from_millis(STALLED)).await;
        let second = refresher.try_begin().expect("the first is given up");
        let mut ended = pin!(refresher.ended.notified());
        ended.as_mut().enable();
        refresher.end(first);
        assert!(refresher.is_running() && !ended.as_mut().enable(), "the second goes on");
        refresher.end(second);
        assert!(!refresher.is_running() && ended.as_mut().enable());
    }
}
