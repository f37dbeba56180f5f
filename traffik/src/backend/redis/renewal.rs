//! [`Renewal`]: when to look again for where the servers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The least time between two looks, in ms.
const APART: u64 = 200;

/// How long one look may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Allows one look at a time, in the background, with a pause after each.
pub(super) struct Renewal {
    born: Instant,
    /// In ms since `born`.
    next: AtomicU64,
    running: AtomicBool,
    ended: Notify,
}

impl Renewal {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            next: AtomicU64::new(0),
            running: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// How long until a look may begin.
    fn due_in(&self) -> Duration {
        Duration::from_millis(self.next.load(Ordering::Relaxed).saturating_sub(self.elapsed()))
    }

    /// Whether to begin a look now; if so, [`ended`](Self::ended) must follow.
    fn begins(&self) -> bool {
        self.due_in().is_zero() && !self.running.swap(true, Ordering::Acquire)
    }

    fn ended(&self) {
        self.next.store(self.elapsed().saturating_add(APART), Ordering::Relaxed);
        self.running.store(false, Ordering::Release);
        self.ended.notify_waiters();
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Something that can look again.
pub(super) trait Renew: Send + Sync + 'static {
    fn renewal(&self) -> &Renewal;

    /// Looks, and replaces the previous state with what it finds.
    fn look(&self) -> impl Future<Output = ()> + Send;
}

/// Begins a look in the background, if one is due and none is running.
pub(super) fn begin<T: Renew>(of: &Arc<T>) {
    // A command can be dropped outside any runtime; the next one will look.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if !of.renewal().begins() {
        return;
    }
    let look = Look(of.clone());
    runtime.spawn(async move {
        // Without success, the previous state stays.
        let _ = tokio::time::timeout(WITHIN, look.0.look()).await;
    });
}

/// A running look. It ends with its task, however that ends: the runtime may be shut down first.
struct Look<T: Renew>(Arc<T>);

impl<T: Renew> Drop for Look<T> {
    fn drop(&mut self) {
        self.0.renewal().ended();
    }
}

/// Waits until a look has finished that began no earlier than the one now running. For a command that was not
/// sent because there was nobody to send it to; its deadline ends the wait.
pub(super) async fn looked<T: Renew>(of: &Arc<T>) {
    let renewal = of.renewal();
    loop {
        // Registered before the look begins, so that its end is not missed.
        let ended = renewal.ended.notified();
        begin(of);
        if renewal.running.load(Ordering::Acquire) {
            return ended.await;
        }
        // Pause for at least 1 ms, in case one look has ended and the next is not due yet.
        tokio::time::sleep(renewal.due_in().max(Duration::from_millis(1))).await;
    }
}

/// A command in flight. If it gets no answer, even because the deadline passed, a look is begun.
pub(super) struct Waiting<'a, T: Renew> {
    pub(super) of: &'a Arc<T>,
    pub(super) answered: bool,
}

impl<T: Renew> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if !self.answered {
            begin(self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never finishes its first look.
    struct Slow(Renewal, AtomicU64);

    impl Renew for Slow {
        fn renewal(&self) -> &Renewal {
            &self.0
        }

        async fn look(&self) {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
        }
    }

    #[test]
    fn a_look_that_goes_with_its_runtime_is_not_the_last() {
        let slow = Arc::new(Slow(Renewal::new(), AtomicU64::new(0)));
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime().block_on(async {
            begin(&slow);
            tokio::task::yield_now().await;
        });
        assert_eq!(slow.1.load(Ordering::SeqCst), 1);
        runtime().block_on(looked(&slow));
        assert_eq!(slow.1.load(Ordering::SeqCst), 2);
    }
}
