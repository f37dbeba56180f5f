//! [`Renewal`]: when to look again where the servers are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
}

impl Renewal {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), next: AtomicU64::new(0), running: AtomicBool::new(false) }
    }

    /// Whether to begin a look now; if so, [`ended`](Self::ended) must follow.
    fn begins(&self) -> bool {
        let due = self.next.load(Ordering::Relaxed) <= self.elapsed();
        due && !self.running.swap(true, Ordering::Acquire)
    }

    fn ended(&self) {
        self.next.store(self.elapsed().saturating_add(APART), Ordering::Relaxed);
        self.running.store(false, Ordering::Release);
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

/// A command on its way. Without an answer, be it that the deadline passed, somebody looks again.
pub(super) struct Waiting<'a, T: Renew> {
    pub(super) of: &'a std::sync::Arc<T>,
    pub(super) answered: bool,
}

impl<T: Renew> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        // A command can be dropped outside of any runtime; the next one will do.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.answered || !self.of.renewal().begins() {
            return;
        }
        let of = self.of.clone();
        runtime.spawn(async move {
            // Without success what there was stays.
            let _ = tokio::time::timeout(WITHIN, of.look()).await;
            of.renewal().ended();
        });
    }
}
