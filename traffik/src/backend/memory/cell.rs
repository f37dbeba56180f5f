//! [`Cell`]: a key's state in twelve bytes.
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
/// Above those: how near to refusal the key is, from 0 (full account).
const PRESSURE: u32 = 7 << HIGH;
/// Flags that the first word is a pointer.
const BOXED: u32 = 1 << 31;

/// The pressure of a key that was refused the last time, which is evicted last. A key that has merely used up its
/// limit is a step below, because anyone can make up fresh keys and get them there with one request each.
pub(super) const REFUSED: u8 = 7;

/// A state with its pressure; owns the box, if there is one.
#[derive(Default)]
#[repr(C, packed(4))]
pub(super) struct Cell(u64, u32);

/// A state that does not fit.
#[derive(Default)]
pub(super) struct Wide {
    pub(super) state: State,
    /// The last instant at which it matters; the state has no instant that a code could count from.
    pub(super) expiry: u64,
}

impl Cell {
    /// Whether an instant and an amount fit.
    #[inline(always)]
    pub(super) fn fits(instant: u64, amount: u64) -> bool {
        instant >> INSTANT | amount >> AMOUNT == 0
    }

    /// Creates a cell from an instant and an amount that fit.
    #[inline(always)]
    pub(super) fn of(instant: u64, amount: u64, pressure: u8) -> Self {
        Self(instant | amount << INSTANT, (amount >> LOW) as u32 | u32::from(pressure) << HIGH & PRESSURE)
    }

    /// Creates a cell from any state.
    #[cold]
    pub(super) fn wide(wide: Wide, pressure: u8) -> Self {
        let pointer = Box::into_raw(Box::new(wide)).expose_provenance() as u64;
        Self(pointer, BOXED | u32::from(pressure) << HIGH & PRESSURE)
    }

    /// Returns the instant and the amount, unless the state is boxed.
    #[inline(always)]
    pub(super) fn words(&self) -> Option<[u64; 2]> {
        let (first, second) = (self.0, self.1);
        if second & BOXED != 0 {
            return None;
        }
        let high = u64::from(second & ((1 << HIGH) - 1));
        Some([first & ((1 << INSTANT) - 1), first >> INSTANT | high << LOW])
    }

    /// Replaces a cell that is not boxed, without the check that dropping it would make.
    #[inline(always)]
    pub(super) fn replace(&mut self, other: Self) {
        std::mem::forget(std::mem::replace(self, other));
    }

    /// Returns the boxed state, if it is boxed.
    pub(super) fn wide_mut(&mut self) -> Option<&mut Wide> {
        // SAFETY: see `pointer`; the reference lives no longer than the mutable borrow of the cell, which owns the
        // box.
        self.pointer().map(|wide| unsafe { &mut *wide })
    }

    /// Returns a pointer to the boxed state.
    fn pointer(&self) -> Option<*mut Wide> {
        // `BOXED` is set only by `wide`, together with a pointer from `Box::into_raw` whose provenance was exposed.
        // No other function changes either of them, and cells are not copied.
        (self.1 & BOXED != 0).then(|| std::ptr::with_exposed_provenance_mut(self.0 as usize))
    }

    #[inline]
    pub(super) fn pressure(&self) -> u8 {
        ((self.1 & PRESSURE) >> HIGH) as u8
    }

    #[inline]
    pub(super) fn press(&mut self, pressure: u8) {
        self.1 = self.1 & !PRESSURE | u32::from(pressure) << HIGH & PRESSURE;
    }
}

impl Drop for Cell {
    #[inline]
    fn drop(&mut self) {
        if let Some(wide) = self.pointer() {
            // SAFETY: see `pointer`; the cell is dropped once, and nothing else drops the box.
            drop(unsafe { Box::from_raw(wide) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_fits_comes_back(instant: u64, amount: u64, shifts in (0..64_u32, 0..64_u32), pressure in 0..8_u8) {
            let (instant, amount) = (instant >> shifts.0, amount >> shifts.1);
            let fits = instant < 1 << 48 && amount < 1 << 44;
            prop_assert_eq!(Cell::fits(instant, amount), fits);
            if fits {
                let mut cell = Cell::of(instant, amount, pressure);
                prop_assert_eq!((cell.words(), cell.pressure()), (Some([instant, amount]), pressure));
                cell.press(7 - pressure);
                prop_assert_eq!((cell.words(), cell.pressure()), (Some([instant, amount]), 7 - pressure));
                prop_assert!(cell.wide_mut().is_none());
            }
        }

        #[test]
        fn what_does_not_fit_is_boxed(words: [u64; 2], bytes: Vec<u8>, expiry: u64, pressure in 0..8_u8) {
            for state in [State::Words(words), State::Bytes(bytes)] {
                let mut cell = Cell::wide(Wide { state: state.clone(), expiry }, pressure);
                cell.press(7 - pressure);
                prop_assert_eq!((cell.words(), cell.pressure()), (None, 7 - pressure));
                let wide = cell.wide_mut();
                prop_assert_eq!(wide.map(|wide| (wide.state.clone(), wide.expiry)), Some((state, expiry)));
            }
        }
    }
}
