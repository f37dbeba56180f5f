//! [`PackedState`]: a key's state in twelve bytes.
//!
//! Most states are an instant and an amount. The instant has 48 bits of microseconds, counted from the table's epoch,
//! which is enough for four years either way. The amount has 44 bits, which hold even a bucket with a period of a
//! year if its limit and period share a large factor. A state that does not fit is boxed.

#![allow(unsafe_code)]

use crate::strategy::State;

const INSTANT: u32 = 48;
const AMOUNT: u32 = 44;

/// Bits of the amount that are above the instant, in the first word.
const LOW: u32 = u64::BITS - INSTANT;
/// The remaining bits, in the second word.
const HIGH: u32 = AMOUNT - LOW;
const HIGH_BITS: u32 = (1 << HIGH) - 1;
/// Above those: how near to refusal the key is, from 0 (full account).
const RANK: u32 = 7 << HIGH;
/// Flags that the first word is a pointer.
const BOXED: u32 = 1 << 31;

/// The eviction rank of a key whose last request was refused: such keys are evicted last. A key that has merely used up
/// its limit is a step below, because anyone can make up fresh keys and get them there with one request each.
pub(super) const REFUSED: u8 = 7;

/// A state with its key's eviction rank; owns the box, if there is one.
#[repr(C, packed(4))]
pub(super) struct PackedState {
    first: First,
    /// The rest of the amount, the rank and the flag.
    second: u32,
}

/// What the flag `BOXED` says it is. Both are plain data: a box is freed by its packed state.
#[derive(Clone, Copy)]
union First {
    /// An instant, and the lowest bits of an amount.
    word: u64,
    boxed: *mut BoxedState,
}

// SAFETY: a packed state owns its box, as a `Box` would, and what is in there is `Send`.
unsafe impl Send for PackedState where BoxedState: Send {}

/// A state that does not fit.
#[derive(Default)]
pub(super) struct BoxedState {
    pub(super) state: State,
    /// The last instant at which it matters; the state has no instant that a code could count from.
    pub(super) expiry: u64,
}

impl PackedState {
    /// Whether an instant and an amount fit.
    #[inline(always)]
    pub(super) fn fits(instant: u64, amount: u64) -> bool {
        instant >> INSTANT | amount >> AMOUNT == 0
    }

    /// Creates one from an instant and an amount that [fit](Self::fits).
    #[inline(always)]
    pub(super) fn new(instant: u64, amount: u64, rank: u8) -> Self {
        debug_assert!(Self::fits(instant, amount));
        // Whatever the amount, it does not reach the flag.
        let high = (amount >> LOW) as u32 & HIGH_BITS;
        Self {
            first: First { word: instant | amount << INSTANT },
            second: high | u32::from(rank) << HIGH & RANK,
        }
    }

    /// Creates one from any state.
    #[cold]
    pub(super) fn boxed(state: BoxedState, rank: u8) -> Self {
        let boxed = Box::into_raw(Box::new(state));
        Self { first: First { boxed }, second: BOXED | u32::from(rank) << HIGH & RANK }
    }

    /// Returns the instant and the amount, unless the state is boxed.
    #[inline(always)]
    pub(super) fn words(&self) -> Option<[u64; 2]> {
        let second = self.second;
        if second & BOXED != 0 {
            return None;
        }
        // SAFETY: without the flag, it is the word that `new` put there: see `pointer`.
        let first = unsafe { self.first.word };
        let high = u64::from(second & HIGH_BITS);
        Some([first & ((1 << INSTANT) - 1), first >> INSTANT | high << LOW])
    }

    /// Replaces a state that is not boxed, without the check that dropping it would make. A box would be leaked.
    #[inline(always)]
    pub(super) fn replace(&mut self, other: Self) {
        std::mem::forget(std::mem::replace(self, other));
    }

    /// Returns the boxed state, if it is boxed.
    pub(super) fn boxed_mut(&mut self) -> Option<&mut BoxedState> {
        // SAFETY: see `pointer`. Only this packed state owns the box, and the reference lives no longer than the
        // mutable borrow of the packed state.
        self.pointer().map(|boxed| unsafe { &mut *boxed })
    }

    /// Returns a pointer to the boxed state.
    ///
    /// Only `boxed` sets the flag, together with a pointer from `Box::into_raw`. (`new` and `set_rank` mask the amount and
    /// the rank, which do not reach it.) No function changes the flag or the first part alone, and packed states are not
    /// copied, so each box has a single owner.
    fn pointer(&self) -> Option<*mut BoxedState> {
        // SAFETY: any bits are a pointer, though not one that may be followed.
        let boxed = unsafe { self.first.boxed };
        (self.second & BOXED != 0).then_some(boxed)
    }

    #[inline]
    pub(super) fn rank(&self) -> u8 {
        ((self.second & RANK) >> HIGH) as u8
    }

    #[inline]
    pub(super) fn set_rank(&mut self, rank: u8) {
        self.second = self.second & !RANK | u32::from(rank) << HIGH & RANK;
    }
}

impl Default for PackedState {
    #[inline]
    fn default() -> Self {
        Self::new(0, 0, 0)
    }
}

impl Drop for PackedState {
    #[inline]
    fn drop(&mut self) {
        if let Some(boxed) = self.pointer() {
            // SAFETY: see `pointer`, which returns what `Box::into_raw` did. The packed state is dropped once, and
            // nothing else frees its box.
            drop(unsafe { Box::from_raw(boxed) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_fits_comes_back(instant: u64, amount: u64, shifts in (0..64_u32, 0..64_u32), rank in 0..8_u8) {
            let (instant, amount) = (instant >> shifts.0, amount >> shifts.1);
            let fits = instant < 1 << 48 && amount < 1 << 44;
            prop_assert_eq!(PackedState::fits(instant, amount), fits);
            if fits {
                let mut packed = PackedState::new(instant, amount, rank);
                prop_assert_eq!((packed.words(), packed.rank()), (Some([instant, amount]), rank));
                packed.set_rank(7 - rank);
                prop_assert_eq!((packed.words(), packed.rank()), (Some([instant, amount]), 7 - rank));
                prop_assert!(packed.boxed_mut().is_none());
            }
        }

        #[test]
        fn what_does_not_fit_is_boxed(words: [u64; 2], bytes: Vec<u8>, expiry: u64, rank in 0..8_u8) {
            for state in [State::Words(words), State::Bytes(bytes)] {
                let mut packed = PackedState::boxed(BoxedState { state: state.clone(), expiry }, rank);
                packed.set_rank(7 - rank);
                prop_assert_eq!((packed.words(), packed.rank()), (None, 7 - rank));
                let boxed = packed.boxed_mut();
                prop_assert_eq!(boxed.map(|boxed| (boxed.state.clone(), boxed.expiry)), Some((state, expiry)));
            }
        }
    }
}
