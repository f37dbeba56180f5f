//! Multilinear hashing: a sum of products under secret multipliers.
//!
//! The words of a message, each times a secret 128-bit multiplier, are added up modulo 2^128, and the upper
//! half of the sum is the hash. For any two different messages chosen without knowing the multipliers the
//! chance that they meet is 2^-64, and that is proven, not assumed: the family is strongly universal.
//! Nobody ever sees a hash, so nobody learns of the multipliers, and no more is needed to keep clients
//! apart. It takes one multiplication in two parts for eight bytes, where a pseudo-random function like
//! SipHash takes some twenty steps that wait for each other.
//!
//! Sources: Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer
//! arithmetic without primes", STACS 1996; Lemire and Kaser, "Strongly universal string hashing is fast",
//! The Computer Journal 57 (2014).

use std::hash::{BuildHasher, RandomState};

/// Words of eight bytes that have a multiplier.
const WORDS: usize = 16;

/// The longest message that is hashed here alone.
const LONGEST: usize = 8 * WORDS;

/// Different kinds of message: each has its own summand, as a message's first word would give it.
pub(super) const KINDS: usize = 8;

/// One function of the family.
pub(super) struct Multilinear {
    summands: [u128; KINDS],
    length: u128,
    words: [u128; WORDS],
    /// Mixes the upper bits of a sum into the lower and these into all: see [`Self::mixed`].
    mixer: u64,
    /// For messages longer than there are multipliers.
    long: RandomState,
}

impl Multilinear {
    /// A function that nobody knows.
    pub(super) fn random() -> Self {
        // SipHash under random keys, asked for one number after another.
        let (source, mut count) = (RandomState::new(), 0_u64);
        let mut word = || {
            count += 1;
            source.hash_one(count)
        };
        let mut wide = || u128::from(word()) << 64 | u128::from(word());
        Self {
            summands: std::array::from_fn(|_| wide()),
            length: wide(),
            words: std::array::from_fn(|_| wide()),
            mixer: wide() as u64 | 1,
            long: RandomState::new(),
        }
    }

    /// The hash of a kind that says all there is to say.
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
        let Some((last, words)) = words(bytes) else { return self.of_long(kind, bytes) };
        let sum = add(self.summands[kind], &self.length, bytes.len() as u64);
        let [first, others @ ..] = &self.words;
        let mut sum = add(sum, first, last);
        for (multiplier, word) in others.iter().zip(words) {
            sum = add(sum, multiplier, u64::from_le_bytes(*word));
        }
        self.mixed(sum)
    }

    #[cold]
    #[inline(never)]
    fn of_long(&self, kind: usize, bytes: &[u8]) -> u64 {
        let sum = add(self.summands[kind], &self.length, bytes.len() as u64);
        self.mixed(add(sum, &self.words[0], self.long.hash_one(bytes)))
    }

    /// The upper half of a sum, one to one but in no order.
    ///
    /// Messages in a row (addresses of one network, numbers counted up) have sums in a row, and those of
    /// some functions crowd. The table places keys by their upper bits, and wants them anywhere.
    #[inline(always)]
    fn mixed(&self, sum: u128) -> u64 {
        let half = (sum >> 64) as u64;
        (half ^ half >> 32).wrapping_mul(self.mixer)
    }
}

#[inline(always)]
fn add(sum: u128, multiplier: &u128, word: u64) -> u128 {
    sum.wrapping_add(multiplier.wrapping_mul(u128::from(word)))
}

/// The last word of a message, and whole words that hold what is before it; `None` if there are too many.
///
/// The last overlaps with the whole ones, where there are any: together with the length they still
/// tell every byte.
#[inline(always)]
fn words(bytes: &[u8]) -> Option<(u64, &[[u8; 8]])> {
    if bytes.len() >= LONGEST {
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
