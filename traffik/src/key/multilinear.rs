//! Multilinear hashing: a sum of products under secret multipliers.
//!
//! The words of a message are each multiplied by a secret 128-bit multiplier, the products are added up
//! modulo 2^128, and the upper half of the sum is the hash. For any two different messages, chosen without
//! knowing the multipliers, the probability of a collision is 2^-64. That is proven, not assumed: the
//! family is strongly universal. (It does not hold for messages of 128 bytes and more, which the standard
//! library's SipHash first reduces to a word.) Hashes are never shown, so nobody learns anything about the
//! multipliers, and this is all it takes to keep clients apart. Eight bytes cost one multiplication in two
//! parts, where a pseudo-random function like SipHash takes some twenty dependent steps.
//!
//! Sources: Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer
//! arithmetic without primes", STACS 1996; Lemire and Kaser, "Strongly universal string hashing is fast",
//! The Computer Journal 57 (2014).

use std::hash::{BuildHasher, RandomState};

/// Words of eight bytes that have a multiplier.
const WORDS: usize = 16;

/// From this many bytes on, a message is too long to be hashed with the multipliers alone.
const LONG: usize = 8 * WORDS;

/// The number of kinds of messages. Each has its own summand, as if the kind were a message's first word.
pub(super) const KINDS: usize = 8;

/// A function of the family.
pub(super) struct Multilinear {
    summands: [u128; KINDS],
    /// Each length times a multiplier of its own.
    lengths: [u128; LONG],
    words: [u128; WORDS],
    /// Mixes the upper bits of a sum into the lower ones, and these into all: see [`Self::mixed`].
    mixer: u64,
    /// For messages that are longer than there are multipliers.
    long: RandomState,
}

impl Multilinear {
    /// Creates a function that nobody knows.
    pub(super) fn random() -> Self {
        // A random source: SipHash under random keys, applied to a counter.
        let (source, mut count) = (RandomState::new(), 0_u64);
        let mut word = || {
            count += 1;
            source.hash_one(count)
        };
        let mut wide = || u128::from(word()) << 64 | u128::from(word());
        Self {
            summands: std::array::from_fn(|_| wide()),
            lengths: multiples(wide()),
            words: std::array::from_fn(|_| wide()),
            mixer: wide() as u64 | 1,
            long: RandomState::new(),
        }
    }

    /// The hash of a kind that has no content.
    #[inline(always)]
    pub(super) fn of_nothing(&self, kind: usize) -> u64 {
        self.mixed(self.summands[kind])
    }

    /// The hash of a word.
    #[inline(always)]
    pub(super) fn of_word(&self, kind: usize, word: u64) -> u64 {
        self.mixed(add(self.summands[kind], &self.words[0], word))
    }

    /// The hash of two words.
    #[inline(always)]
    pub(super) fn of_pair(&self, kind: usize, first: u64, second: u64) -> u64 {
        let sum = add(self.summands[kind], &self.words[0], first);
        self.mixed(add(sum, &self.words[1], second))
    }

    /// The hash of bytes.
    #[inline(always)]
    pub(super) fn of_bytes(&self, kind: usize, bytes: &[u8]) -> u64 {
        // Covers the names of most clients: the same as below, in fewer steps.
        if let (8..16, Some(first), Some(last)) = (bytes.len(), bytes.first_chunk(), bytes.last_chunk()) {
            let sum = add(self.start(kind, bytes), &self.words[0], u64::from_le_bytes(*last));
            return self.mixed(add(sum, &self.words[1], u64::from_le_bytes(*first)));
        }
        self.of_any(kind, bytes)
    }

    #[inline]
    fn of_any(&self, kind: usize, bytes: &[u8]) -> u64 {
        let Some((last, words)) = words(bytes) else { return self.of_long(kind, bytes) };
        let [first, others @ ..] = &self.words;
        let mut sum = add(self.start(kind, bytes), first, last);
        for (multiplier, word) in others.iter().zip(words) {
            sum = add(sum, multiplier, u64::from_le_bytes(*word));
        }
        self.mixed(sum)
    }

    /// The initial sum for a message of this length, which is below [`LONG`].
    #[inline(always)]
    fn start(&self, kind: usize, bytes: &[u8]) -> u128 {
        self.summands[kind].wrapping_add(self.lengths[bytes.len() % LONG])
    }

    #[cold]
    #[inline(never)]
    fn of_long(&self, kind: usize, bytes: &[u8]) -> u64 {
        let length = self.lengths[1].wrapping_mul(bytes.len() as u128);
        let sum = self.summands[kind].wrapping_add(length);
        self.mixed(add(sum, &self.words[0], self.long.hash_one(bytes)))
    }

    /// The upper half of a sum, permuted.
    ///
    /// Consecutive messages (addresses of one network, numbers counted up) have evenly spaced sums, which
    /// some functions of the family place close together. The table places keys by their upper bits, and
    /// needs those spread out.
    #[inline(always)]
    fn mixed(&self, sum: u128) -> u64 {
        let half = (sum >> 64) as u64;
        (half ^ half >> 32).wrapping_mul(self.mixer)
    }
}

/// A number times 0, 1, 2 and so on.
fn multiples(of: u128) -> [u128; LONG] {
    std::array::from_fn(|times| of.wrapping_mul(times as u128))
}

#[inline(always)]
fn add(sum: u128, multiplier: &u128, word: u64) -> u128 {
    sum.wrapping_add(multiplier.wrapping_mul(u128::from(word)))
}

/// The last word of a message, and whole words that hold what precedes it; `None` if there are too many.
///
/// The last word overlaps with the whole ones, if there are any: together with the length they still
/// determine every byte.
#[inline(always)]
fn words(bytes: &[u8]) -> Option<(u64, &[[u8; 8]])> {
    if bytes.len() >= LONG {
        return None;
    }
    let word = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let Some(last) = bytes.last_chunk() {
        return Some((u64::from_le_bytes(*last), bytes.as_chunks().0));
    }
    Some(match (bytes.first_chunk(), bytes.last_chunk(), bytes) {
        (Some(first), Some(last), _) => (word(first) | word(last) << 32, &[]),
        (.., [a, b, c]) => (word(&[*a, *b, *c, 0]), &[]),
        (.., [a, b]) => (word(&[*a, *b, 0, 0]), &[]),
        (.., [a]) => (word(&[*a, 0, 0, 0]), &[]),
        _ => (0, &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// The same computation, byte by byte: the length, the last eight bytes, then eight at a time.
    fn reference(of: &Multilinear, kind: usize, bytes: &[u8]) -> u64 {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        let last = match bytes.len() {
            0..4 => word(bytes),
            length @ 4..8 => word(&bytes[..4]) | word(&bytes[length - 4..]) << 32,
            length => word(&bytes[length - 8..]),
        };
        let words = bytes.chunks_exact(8).map(word);
        let mut sum = of.summands[kind].wrapping_add(of.lengths[1].wrapping_mul(bytes.len() as u128));
        for (multiplier, word) in of.words.iter().zip(std::iter::once(last).chain(words)) {
            sum = sum.wrapping_add(multiplier.wrapping_mul(u128::from(word)));
        }
        let half = (sum >> 64) as u64;
        (half ^ half >> 32).wrapping_mul(of.mixer)
    }

    proptest! {
        #[test]
        fn it_is_what_the_paper_says(kind in 0..KINDS, bytes in proptest::collection::vec(any::<u8>(), 0..LONG)) {
            let of = Multilinear::random();
            prop_assert_eq!(of.of_bytes(kind, &bytes), reference(&of, kind, &bytes));
        }
    }

    #[test]
    fn a_byte_more_less_or_other_is_another_hash() {
        let of = Multilinear::random();
        let mut seen = HashSet::new();
        for length in 0..2 * LONG {
            let mut bytes = vec![0_u8; length];
            assert!(seen.insert(of.of_bytes(0, &bytes)), "{length} bytes");
            for at in 0..length {
                bytes[at] = 1;
                assert!(seen.insert(of.of_bytes(0, &bytes)), "{length} bytes, the one at {at}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn kinds_and_words_are_told_apart() {
        let of = Multilinear::random();
        let mut seen = HashSet::new();
        for kind in 0..KINDS {
            assert!(seen.insert(of.of_nothing(kind)));
            for first in 1..100 {
                assert!(seen.insert(of.of_word(kind, first)));
                for second in 1..10 {
                    assert!(seen.insert(of.of_pair(kind, first, second)));
                }
            }
        }
    }

    /// Consecutive clients are spread over all buckets, whatever the function and the distance between them.
    #[test]
    fn messages_in_a_row_are_spread() {
        const BUCKETS: usize = 1024;
        let mut most = 0;
        for round in 0..500_u64 {
            let of = Multilinear::random();
            let mut loads = [0_u32; BUCKETS];
            for number in 0..4 * BUCKETS as u64 {
                let hash = of.of_word(0, number << (round % 53));
                loads[(hash >> 54) as usize] += 1;
            }
            most = most.max(loads.into_iter().max().unwrap_or(0));
        }
        // Four per bucket on average. Of half a million random buckets, one holds more than 24 once in a
        // million runs.
        assert!(most <= 24, "{most} in a bucket");
    }
}
