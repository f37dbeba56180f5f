//! [`CompactVerdict`]: the outcome of a hit, before anybody has asked for all of it.

/// The outcome of a hit on an account, as far as it takes to charge the hit. The rest is only computed if
/// somebody asks for the `full_verdict`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CompactVerdict {
    /// What is in use now, in the account's own units.
    pub(super) used: u64,
    /// How far an instant is ahead of the clock: the bucket's own instant, or the window's end.
    pub(super) ahead_of_clock: u64,
    /// 0 if the hit passed.
    pub(super) wait: u64,
}

/// The outcome of a hit that passed, and the state to keep from now on.
#[derive(Debug, Clone, Copy)]
#[cfg(feature = "memory")]
pub(crate) struct AdmittedStep {
    pub(crate) compact: CompactVerdict,
    pub(crate) words: [u64; 2],
    /// Whether nothing more can be taken.
    pub(crate) is_exhausted: bool,
}

#[cfg(feature = "memory")]
impl CompactVerdict {
    #[inline(always)]
    pub(crate) fn is_admitted(&self) -> bool {
        self.wait == 0
    }

    #[inline(always)]
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}
