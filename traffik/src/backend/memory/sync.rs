//! What the table's concurrency is made of.
//!
//! `tests/tests/loom` compiles the table's files once more over the same names
//! made of loom's parts, and has every interleaving tried.

pub(super) use std::cell::UnsafeCell;
pub(super) use std::sync::OnceLock;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(super) use parking_lot::Mutex;

/// What is written under a lock and looked at without, by those who look again under it. Loom knows nothing of
/// it: that what was seen may be old is what it tries at the lock.
pub(super) use std::sync::atomic::AtomicU32 as Word;

pub(super) use super::lock::Lock;

/// How often a waiting thread looks before it gives up its processor.
pub(super) const LOOKS: u32 = 12;

/// Tells the processor that this thread waits for another.
#[inline]
pub(super) fn pause() {
    std::hint::spin_loop();
}

/// Lets another thread have the processor.
pub(super) fn give_way() {
    std::thread::yield_now();
}

/// Runs a test of these parts; loom's need to be told of it.
#[cfg(test)]
pub(super) fn model(test: impl Fn() + Send + Sync + 'static) {
    test();
}
