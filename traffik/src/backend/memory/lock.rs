//! [`Lock`]: one byte, one atomic exchange a hit.
//!
//! It is held for a single step, which takes some ten nanoseconds; whoever comes in between waits
//! longer each time it looks, so that the holder keeps the cache line to itself while it works. A
//! holder that the system has taken off its processor is waited for by giving up one's own.

use super::sync::{AtomicBool, LOOKS, Ordering, give_way, pause};

/// Longest wait between two looks, in pauses: about what one exchange of a cache line takes.
const LONGEST: u32 = 32;

/// A lock of one byte, which holds nothing.
pub(super) struct Lock(AtomicBool);

impl Lock {
    #[inline]
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    #[inline]
    pub(super) fn lock(&self) {
        if !self.take() {
            self.wait();
        }
    }

    #[inline]
    fn take(&self) -> bool {
        self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && self.take()
    }

    #[cold]
    fn wait(&self) {
        let mut pauses = 1;
        for _ in 0..LOOKS {
            (0..pauses).for_each(|_| pause());
            if self.try_lock() {
                return;
            }
            pauses = LONGEST.min(pauses * 2);
        }
        while !self.take() {
            give_way();
        }
    }

    /// For whoever holds the lock.
    #[inline]
    pub(super) fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}
