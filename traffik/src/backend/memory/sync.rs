//! The primitives that the table's concurrency is built on.
//!
//! `tests/tests/loom` compiles the table's files again with loom's primitives under the same names, and
//! explores every interleaving.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ptr;

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

/// Returns this many defaults. Their memory comes zeroed from the system, which maps its pages one by one when they are
/// first written to, so a million take no longer than a few. Returns none if they would be larger than any memory.
///
/// # Safety
/// The default of a `T` consists of zeroes, padding aside.
#[allow(unsafe_code)]
pub(super) unsafe fn zeroed_cells<T: Default>(count: usize) -> Box<[UnsafeCell<T>]> {
    let Ok(layout) = Layout::array::<UnsafeCell<T>>(count) else { return Box::default() };
    if layout.size() == 0 {
        return Box::default();
    }
    // SAFETY: the layout's size is not 0.
    let first = unsafe { alloc_zeroed(layout) }.cast::<UnsafeCell<T>>();
    if first.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: the memory was allocated by the global allocator with the layout of this slice, and nothing else refers
    // to it. It consists of zeroes, and the caller promises that these are valid values.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first, count)) }
}

/// Runs a test of these primitives; with loom's, it has to run inside a model.
#[cfg(test)]
pub(super) fn model(test: impl Fn() + Send + Sync + 'static) {
    test();
}
