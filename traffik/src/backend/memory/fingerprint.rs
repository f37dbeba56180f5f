//! [`Fingerprint`]: what distinguishes a bucket's keys.
//!
//! A fingerprint is 56 bits of a key's tag, and a byte for how long the key is kept. That byte is never 0, so a
//! fingerprint of 0 belongs to no key. The upper word consists of tag bits alone, and hardly any two keys of a bucket
//! share it, so looking for a key takes one comparison each.
//!
//! Fingerprints are written under their bucket's lock. They are also read without it, by readers that check again once
//! they hold it.

use super::sync::{Ordering, Word};

/// Bits of a tag that are kept. The higher ones follow from the bucket's place: see `Growth::full_tag`.
pub(super) const TAG: u32 = 56;

/// Bits of the lower word that say how long the key is kept.
const CODE: u32 = u64::BITS - TAG;

#[derive(Default)]
#[repr(C)]
pub(super) struct Fingerprint {
    lower: Word,
    upper: Word,
}

/// The upper word of a tag's fingerprint.
#[inline(always)]
pub(super) fn upper_word(tag: u64) -> u32 {
    (tag >> (u32::BITS - CODE)) as u32
}

/// The lower word, without the code.
#[inline(always)]
fn lower_word(tag: u64) -> u32 {
    (tag << CODE) as u32
}

impl Fingerprint {
    /// Whether this may be the key whose fingerprint has this upper word. May be called without the lock.
    #[inline(always)]
    pub(super) fn may_match(&self, upper: u32) -> bool {
        self.upper.load(Ordering::Relaxed) == upper
    }

    /// Whether this is the fingerprint of a key with that tag.
    #[inline(always)]
    pub(super) fn matches(&self, tag: u64) -> bool {
        // A code is not 0. One comparison covers both bounds, because 0 wraps to the largest number.
        let code = self.lower.load(Ordering::Relaxed) ^ lower_word(tag);
        self.may_match(upper_word(tag)) && code.wrapping_sub(1) < (1 << CODE) - 1
    }

    pub(super) fn is_free(&self) -> bool {
        self.code() == 0
    }

    /// The low bits of the tag.
    pub(super) fn tag(&self) -> u64 {
        let [lower, upper] = [&self.lower, &self.upper].map(|word| u64::from(word.load(Ordering::Relaxed)));
        (upper << u32::BITS | lower) >> CODE
    }

    /// How long the key is kept, as a code.
    pub(super) fn code(&self) -> u8 {
        self.lower.load(Ordering::Relaxed) as u8
    }

    /// Sets the fingerprint to that of a key with this tag.
    pub(super) fn set(&self, tag: u64, code: u8) {
        self.upper.store(upper_word(tag), Ordering::Relaxed);
        self.set_code(tag, code);
    }

    /// Changes how long the key is kept. `tag` is the key's own: given it, a whole word is written, and the next
    /// reader does not have to wait for a single byte to reach the cache.
    #[inline(always)]
    pub(super) fn set_code(&self, tag: u64, code: u8) {
        self.lower.store(lower_word(tag) | u32::from(code), Ordering::Relaxed);
    }

    /// Frees the fingerprint.
    pub(super) fn clear(&self) {
        self.set(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fingerprint_is_that_of_its_tag_alone(tag: u64, other: u64, bit in 0..TAG, code in 1..=u8::MAX, later in 1..=u8::MAX) {
            let fingerprint = Fingerprint::default();
            fingerprint.set(tag, code);
            prop_assert_eq!((fingerprint.tag(), fingerprint.code()), (tag & ((1 << TAG) - 1), code));
            prop_assert!(fingerprint.matches(tag) && fingerprint.may_match(upper_word(tag)) && !fingerprint.is_free());
            prop_assert!(!fingerprint.matches(tag ^ 1 << bit));
            prop_assert_eq!(fingerprint.matches(other), other << CODE == tag << CODE);
            fingerprint.set_code(tag, later);
            prop_assert!(fingerprint.matches(tag));
            prop_assert_eq!((fingerprint.tag(), fingerprint.code()), (tag & ((1 << TAG) - 1), later));
            fingerprint.clear();
            prop_assert!(fingerprint.is_free() && !fingerprint.matches(tag));
        }
    }

    #[test]
    fn a_free_fingerprint_is_no_tag_s() {
        let fingerprint = Fingerprint::default();
        assert!(fingerprint.is_free());
        assert!([0, 1, 1 << TAG, u64::MAX].iter().all(|tag| !fingerprint.matches(*tag)));
    }
}
