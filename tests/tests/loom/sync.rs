//! The items of `traffik/src/backend/memory/sync.rs`, built from loom's primitives.

#![allow(unsafe_code)]

use loom::sync::{Mutex as LoomMutex, MutexGuard};

pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(super) use loom::thread::yield_now;
pub(super) use std::sync::atomic::AtomicU32 as Word;

pub(super) fn pause() {}

/// One try before yielding is enough.
pub(super) const ATTEMPTS: u32 = 1;

/// Runs a test of one of the table's components.
pub(super) fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.max_branches = 100_000;
    model.check(test);
}

/// Replaces the table's own lock, which is tested separately. Loom knows how its own mutexes block, so it has
/// far fewer interleavings to explore. The guard is kept inside while the lock is held.
pub(super) struct Lock {
    /// Declared before the mutex, so that a guard still kept here is dropped first.
    held: std::cell::UnsafeCell<Option<MutexGuard<'static, ()>>>,
    mutex: LoomMutex<()>,
}

// SAFETY: `held` is accessed only by the thread that holds `mutex`, or through exclusive access to the lock. Loom's
// threads are fibers of a single thread, so a guard may be dropped by any of them.
unsafe impl Send for Lock {}
// SAFETY: as above.
unsafe impl Sync for Lock {}

impl Lock {
    pub(super) fn new() -> Self {
        Self { held: std::cell::UnsafeCell::new(None), mutex: LoomMutex::new(()) }
    }

    pub(super) fn lock(&self) {
        let guard = self.mutex.lock().expect("loom's mutexes are not poisoned");
        self.keep(guard);
    }

    pub(super) fn try_lock(&self) -> bool {
        self.mutex.try_lock().map(|guard| self.keep(guard)).is_ok()
    }

    fn keep<'a>(&'a self, guard: MutexGuard<'a, ()>) {
        // SAFETY: the mutex is held, so nothing else accesses `held`. Only the guard's lifetime changes. The guard is
        // dropped by `unlock`, or else with `held`, which is declared before the mutex: never later than what it
        // borrows. And no lock is moved while it is held, because the bucket's guard borrows the bucket that it is in.
        unsafe {
            *self.held.get() = Some(std::mem::transmute::<MutexGuard<'a, ()>, MutexGuard<'static, ()>>(guard))
        }
    }

    pub(super) fn unlock(&self) {
        // SAFETY: the caller holds the mutex, so nothing else accesses `held`. The guard is moved out before it is
        // dropped, because another thread may acquire the lock as soon as it is.
        let guard = unsafe { (*self.held.get()).take() };
        drop(guard);
    }
}

/// A mutex without poisoning, like that of `parking_lot`.
pub(super) struct Mutex<T>(LoomMutex<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(LoomMutex::new(value))
    }

    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("loom's mutexes are not poisoned")
    }
}

/// Treats every access to the inside as a write, so that loom panics if two of them are unordered.
pub(super) struct UnsafeCell<T> {
    watched: loom::cell::UnsafeCell<()>,
    value: std::cell::UnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self { watched: loom::cell::UnsafeCell::new(()), value: std::cell::UnsafeCell::new(value) }
    }

    pub(super) fn get(&self) -> *mut T {
        self.watched.with_mut(|_| ());
        self.value.get()
    }
}

/// Returns this many defaults. Loom's cells cannot be made of zeroes.
///
/// # Safety
/// The default of a `T` consists of zeroes, padding aside: see the original.
pub(super) unsafe fn zeroed_cells<T: Default>(count: usize) -> Box<[UnsafeCell<T>]> {
    (0..count).map(|_| UnsafeCell::new(T::default())).collect()
}

/// A `OnceLock` with the ordering guarantees of the standard library: initialization happens before every
/// use, and uses are not ordered among themselves.
pub(super) struct OnceLock<T> {
    made: AtomicUsize,
    making: LoomMutex<()>,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(super) fn new() -> Self {
        Self { made: AtomicUsize::new(0), making: LoomMutex::new(()), value: std::sync::OnceLock::new() }
    }

    pub(super) fn get(&self) -> Option<&T> {
        (self.made.load(Ordering::Acquire) == 1).then(|| self.value.get()).flatten()
    }

    pub(super) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _making = self.making.lock();
        let value = self.value.get_or_init(make);
        self.made.store(1, Ordering::Release);
        value
    }
}
