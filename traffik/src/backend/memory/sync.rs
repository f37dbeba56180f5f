//! The primitives that the table's concurrency is built on.
//!
//! `tests/tests/loom` compiles the table's files again with loom's primitives under the same names, and
//! explores every interleaving.

pub(super) use std::cell::UnsafeCell;
pub(super) use std::sync::OnceLock;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(super) use parking_lot::Mutex;

/// Written under a lock and read without it, by readers that check again under the lock. Loom does not know of
/// it: that a value read may be stale is what loom explores at the lock.
pub(super) use std::sync::atomic::AtomicU32 as Word;

pub(super) use super::lock::Lock;

/// How often a waiting thread tries again before it yields its processor.
pub(super) const ATTEMPTS: u32 = 12;

/// Tells the processor that this thread is waiting for another.
#[inline]
pub(super) fn pause() {
    std::hint::spin_loop();
}

/// Yields the processor to another thread.
pub(super) fn yield_now() {
    std::thread::yield_now();
}

/// Runs a test of these primitives; with loom's, it has to run inside a model.
#[cfg(test)]
pub(super) fn model(test: impl Fn() + Send + Sync + 'static) {
    test();
}
