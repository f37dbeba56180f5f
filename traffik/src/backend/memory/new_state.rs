//! [`NewState`]: what a step leaves behind for a key.

use super::expiry::{LONGEST, encode};
use super::packed_state::PackedState;

/// The state that a step leaves behind.
#[derive(Clone, Copy, Default)]
pub(super) struct NewState {
    pub(super) words: [u64; 2],
    /// How long the state matters after its first word, as a code; 0 if that word is not an instant, or if the second
    /// word does not fit.
    pub(super) code: u8,
    /// The eviction rank: how near the account is to refusal.
    pub(super) rank: u8,
}

/// Returns the code for how long these words matter, if they are an instant and an amount; 0 if they are not, or do
/// not fit.
#[inline(always)]
pub(super) fn code_until(expiry: u64, [instant, amount]: [u64; 2]) -> u8 {
    // If the first word is not an instant, this wraps to a time that is too long.
    let kept = expiry.wrapping_sub(instant);
    if PackedState::fits(0, amount) && kept < LONGEST { encode(kept) } else { 0 }
}
