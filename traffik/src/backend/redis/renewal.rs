//! [`Renewal`]: when to look again where the servers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// From one look to the next, at least.
const APART: u64 = 200;

/// How long one look may take.
const WITHIN: Duration = Duration::from_secs(3);

/// One look at a time, in the background, and not one after the other without a pause.
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

/// What can look again.
pub(super) trait Renew: Send + Sync + 'static {
    fn renewal(&self) -> &Renewal;

    /// Looks, and puts what it finds in place of what there was.
    fn look(&self) -> impl Future<Output = ()> + Send;
}

/// Begins a look in the background, if one is due and none is under way.
pub(super) fn begin<T: Renew>(of: &Arc<T>) {
    // A command can be dropped outside of any runtime; the next one will do.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if !of.renewal().begins() {
        return;
    }
    let look = Look(of.clone());
    runtime.spawn(async move {
        // Without success what there was stays.
        let _ = tokio::time::timeout(WITHIN, look.0.look()).await;
    });
}

/// A look that has begun. It ends with its task, whichever way that goes: its runtime may be shut down first.
struct Look<T: Renew>(Arc<T>);

impl<T: Renew> Drop for Look<T> {
    fn drop(&mut self) {
        self.0.renewal().ended();
    }
}

/// Waits until somebody has looked, who began no earlier than the look that is under way. For a
/// command that was not sent, since there was nobody to send it to; its deadline ends the wait.
pub(super) async fn looked<T: Renew>(of: &Arc<T>) {
    let renewal = of.renewal();
    loop {
        // Before the look is begun, so that its end is not missed.
        let ended = renewal.ended.notified();
        begin(of);
        if renewal.running.load(Ordering::Acquire) {
            return ended.await;
        }
        // A pause of at least 1 ms, for the moment in which one has ended and none is due yet.
        tokio::time::sleep(renewal.due_in().max(Duration::from_millis(1))).await;
    }
}

/// A command on its way. Without an answer, be it that the deadline passed, somebody looks again.
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

    /// Never ends its first look.
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
