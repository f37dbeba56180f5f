//! What the table's concurrency is made of.
//!
//! `tests/tests/loom` compiles `bucket.rs`, `table.rs` and `reclaim.rs` once more over the same names
//! made of loom's parts, and has every interleaving tried.

#![allow(unsafe_code)]

pub(super) use std::cell::UnsafeCell;
pub(super) use std::sync::OnceLock;
pub(super) use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) use parking_lot::Mutex;
use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;

/// A lock of one byte, which holds nothing.
pub(super) struct Lock(RawMutex);

impl Lock {
    #[inline]
    pub(super) const fn new() -> Self {
        Self(RawMutex::INIT)
    }

    #[inline]
    pub(super) fn lock(&self) {
        self.0.lock();
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    /// # Safety
    /// The caller holds the lock.
    #[inline]
    pub(super) unsafe fn unlock(&self) {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { self.0.unlock() }
    }
}
