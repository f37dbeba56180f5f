//! [`Op`]: what is asked of an account.

/// The operation on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Charges the cost if it fits.
    Hit,
    /// Reports whether the cost would fit, and changes nothing.
    Check,
    /// Gives the cost back: never beyond a full account, and never into a later window than the one that
    /// was current at `at` (microseconds since the Unix epoch; `None` means now).
    Refund {
        /// When the charge was made.
        at: Option<u64>,
    },
    /// Corrects a charge made at `at` to what was actually used. A hit that
    /// [gives back](crate::Hit::gives_back) is a refund. Any other hit takes as much of its cost as there is
    /// room for at present, and is never refused: [`Verdict::admitted`](super::Verdict::admitted) is always
    /// true, and [`Verdict::wait`](super::Verdict::wait) is the number of units that found no room.
    ///
    /// Strategies never see this operation: [`Hit::step`](crate::Hit::step) carries it out as checks, hits and
    /// refunds.
    Settle {
        /// When the charge was made.
        at: u64,
    },
    /// Forgets the key.
    Reset,
}

impl Op {
    /// Returns whether a step may change the state.
    #[must_use]
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Check)
    }

    /// Whether it asks to be admitted. Corrections are never refused.
    pub(crate) const fn can_be_refused(self) -> bool {
        matches!(self, Self::Hit | Self::Check)
    }
}
