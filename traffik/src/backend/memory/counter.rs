//! [`Counter`]: counts at an even pace while the processor runs.

#![allow(unsafe_code)]

/// A counter that rises at an even but unknown pace.
pub(super) trait Counter: Copy {
    fn read(&self) -> u64;
}

/// The processor's time stamp counter, where it is reliable.
#[derive(Clone, Copy)]
pub(super) struct ProcessorCounter(());

#[cfg(all(target_arch = "x86_64", not(target_env = "sgx"), not(miri)))]
impl ProcessorCounter {
    /// Returns `None` unless the counter is invariant: it has the same pace in every power state and
    /// on every core.
    pub(super) fn new() -> Option<Self> {
        use std::arch::x86_64::__cpuid;
        const POWER_MANAGEMENT: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        // SAFETY: every processor of this architecture has the instruction, and the second leaf is queried
        // only if it exists. (Newer compilers know that, and call it safe.)
        #[allow(unused_unsafe)]
        let invariant = unsafe {
            __cpuid(0x8000_0000).eax >= POWER_MANAGEMENT && __cpuid(POWER_MANAGEMENT).edx & INVARIANT != 0
        };
        invariant.then_some(Self(()))
    }
}

#[cfg(all(target_arch = "x86_64", not(target_env = "sgx"), not(miri)))]
impl Counter for ProcessorCounter {
    #[inline(always)]
    fn read(&self) -> u64 {
        // SAFETY: every processor of this architecture has the instruction, and it touches no memory.
        #[allow(unused_unsafe)]
        unsafe {
            std::arch::x86_64::_rdtsc()
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(target_env = "sgx"), not(miri))))]
impl ProcessorCounter {
    /// `None`: other architectures' counters have not been tried.
    pub(super) fn new() -> Option<Self> {
        None
    }
}

#[cfg(not(all(target_arch = "x86_64", not(target_env = "sgx"), not(miri))))]
impl Counter for ProcessorCounter {
    fn read(&self) -> u64 {
        0
    }
}
