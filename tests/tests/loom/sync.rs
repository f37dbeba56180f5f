//! The names of `traffik/src/backend/memory/sync.rs`, made of loom's parts.

#![allow(unsafe_code)]

use loom::sync::{Mutex as LoomMutex, MutexGuard};

pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(super) use loom::thread::yield_now as give_way;
pub(super) use std::sync::atomic::AtomicU32 as Word;

pub(super) fn pause() {}

/// One of each kind of look is enough.
pub(super) const LOOKS: u32 = 1;

/// Runs a test of one of the table's parts.
pub(super) fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.max_branches = 100_000;
    model.check(test);
}

/// What stands for the table's own lock, which has a scene of its own: loom knows how its mutexes
/// block, and has far fewer interleavings to try. The guard is kept inside while the lock is held.
pub(super) struct Lock {
    mutex: LoomMutex<()>,
    held: std::cell::UnsafeCell<Option<MutexGuard<'static, ()>>>,
}

// SAFETY: `held` is touched only by whoever holds `mutex`, and a guard of loom's may be dropped by
// any of its threads, which are fibres of one.
unsafe impl Send for Lock {}
// SAFETY: as above.
unsafe impl Sync for Lock {}

impl Lock {
    pub(super) fn new() -> Self {
        Self { mutex: LoomMutex::new(()), held: std::cell::UnsafeCell::new(None) }
    }

    pub(super) fn lock(&self) {
        let guard = self.mutex.lock().expect("loom's mutexes are not poisoned");
        self.keep(guard);
    }

    pub(super) fn try_lock(&self) -> bool {
        self.mutex.try_lock().map(|guard| self.keep(guard)).is_ok()
    }

    fn keep<'a>(&'a self, guard: MutexGuard<'a, ()>) {
        // SAFETY: the mutex is held. The guard is dropped by `unlock`, or never: before `self` in
        // any case, so its longer lifetime is never used.
        unsafe {
            *self.held.get() = Some(std::mem::transmute::<MutexGuard<'a, ()>, MutexGuard<'static, ()>>(guard))
        }
    }

    pub(super) fn unlock(&self) {
        // SAFETY: the mutex is held by the caller. The guard is moved out before it is dropped, since others may
        // hold the lock as soon as it is.
        let guard = unsafe { (*self.held.get()).take() };
        drop(guard);
    }
}

/// As parking_lot's, without poison.
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

/// Every look at the inside counts as a write, and loom panics when two of them are not ordered.
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

/// Ordered as the standard library's: what went before the making happens before any use, and
/// uses are not ordered among themselves.
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
