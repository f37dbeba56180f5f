//! [`Name`]: what distinguishes a bucket's keys.
//!
//! A name is 56 bits of a key's tag, and a byte for how long the key is kept. That byte is never 0, so a name of 0
//! belongs to no key. The upper word consists of tag bits alone, and hardly any two keys of a bucket share it, so
//! looking for a key takes one comparison each.
//!
//! Names are written under their bucket's lock. They are also read without it, by readers that check again once they
//! hold it.

use super::sync::{Ordering, Word};

/// Bits of a tag that are kept. The higher ones follow from the bucket's place: see `Growth::whole`.
pub(super) const TAG: u32 = 56;

/// Bits of the lower word that say how long the key is kept.
const CODE: u32 = u64::BITS - TAG;

#[derive(Default)]
#[repr(C)]
pub(super) struct Name {
    lower: Word,
    upper: Word,
}

/// The upper word of a tag's name.
#[inline(always)]
pub(super) fn upper(tag: u64) -> u32 {
    (tag >> (u32::BITS - CODE)) as u32
}

/// The lower word, without the code.
#[inline(always)]
fn lower(tag: u64) -> u32 {
    (tag << CODE) as u32
}

impl Name {
    /// Whether this may be the key whose name has this upper word. May be called without the lock.
    #[inline(always)]
    pub(super) fn seems(&self, upper: u32) -> bool {
        self.upper.load(Ordering::Relaxed) == upper
    }

    /// Whether this is the name of a key with that tag.
    #[inline(always)]
    pub(super) fn is(&self, tag: u64) -> bool {
        // A code is not 0. One comparison covers both bounds, because 0 wraps to the largest number.
        let code = self.lower.load(Ordering::Relaxed) ^ lower(tag);
        self.seems(upper(tag)) && code.wrapping_sub(1) < (1 << CODE) - 1
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

    /// Sets the name to that of a key with this tag.
    pub(super) fn set(&self, tag: u64, code: u8) {
        self.upper.store(upper(tag), Ordering::Relaxed);
        self.renew(tag, code);
    }

    /// Changes how long the key is kept. `tag` is the key's own: given it, a whole word is written, and the next
    /// reader does not have to wait for a single byte to reach the cache.
    #[inline(always)]
    pub(super) fn renew(&self, tag: u64, code: u8) {
        self.lower.store(lower(tag) | u32::from(code), Ordering::Relaxed);
    }

    /// Frees the name.
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
        fn a_name_is_that_of_its_tag_alone(tag: u64, other: u64, bit in 0..TAG, code in 1..=u8::MAX, later in 1..=u8::MAX) {
            let name = Name::default();
            name.set(tag, code);
            prop_assert_eq!((name.tag(), name.code()), (tag & ((1 << TAG) - 1), code));
            prop_assert!(name.is(tag) && name.seems(upper(tag)) && !name.is_free());
            prop_assert!(!name.is(tag ^ 1 << bit));
            prop_assert_eq!(name.is(other), other << CODE == tag << CODE);
            name.renew(tag, later);
            prop_assert!(name.is(tag));
            prop_assert_eq!((name.tag(), name.code()), (tag & ((1 << TAG) - 1), later));
            name.clear();
            prop_assert!(name.is_free() && !name.is(tag));
        }
    }

    #[test]
    fn a_free_name_is_no_tag_s() {
        let name = Name::default();
        assert!(name.is_free());
        assert!([0, 1, 1 << TAG, u64::MAX].iter().all(|tag| !name.is(*tag)));
    }
}
