//! [`Lock`]: one byte, one atomic exchange per hit.
//!
//! It is held for a single step, which takes some ten nanoseconds. A thread that finds it taken waits
//! a while before it looks again: each look takes the cache line away from the holder, and two threads
//! that pass it back and forth on every hit are slower than two that take turns of a hundred hits. If
//! the system has descheduled the holder, waiting threads yield their processors.

use super::sync::{ATTEMPTS, AtomicBool, Ordering, pause, yield_now};

/// Pauses between two looks: a few microseconds, in which the holder gets a hundred hits done.
const PAUSES: u32 = 128;

/// A lock of one byte that guards no data by itself.
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
        for _ in 0..ATTEMPTS {
            (0..PAUSES).for_each(|_| pause());
            if self.try_lock() {
                return;
            }
        }
        while !self.take() {
            yield_now();
        }
    }

    /// Must only be called by the holder of the lock.
    #[inline]
    pub(super) fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}
