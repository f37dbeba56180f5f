//! SipHash-1-3 of bytes that are all there, with a 128-bit key.
//!
//! Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012, with one round a
//! word and three at the end. Identities are short, and a hasher that takes its input piece by
//! piece spends as much on keeping the pieces as on the rounds: half of a hit's hash. A property
//! test holds this against the `siphasher` crate.

/// A 128-bit key.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

struct Rounds {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Rounds {
    #[inline(always)]
    fn new(Key(k0, k1): Key) -> Self {
        // "somepseudorandomlygeneratedbytes"
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        let Self { v0, v1, v2, v3 } = self;
        *v0 = v0.wrapping_add(*v1);
        *v2 = v2.wrapping_add(*v3);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v1);
        *v0 = v0.wrapping_add(*v3);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.rotate_left(32);
    }

    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// The hash of `bytes` under `key`.
#[inline(always)]
pub(super) fn hash(key: Key, bytes: &[u8]) -> u64 {
    let mut rounds = Rounds::new(key);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        rounds.word(u64::from_le_bytes(*word));
    }
    // Only the lowest byte of the length counts.
    rounds.word(last(bytes, rest) | (bytes.len() as u64) << 56);
    rounds.finish()
}

/// The bytes after the last whole word, at most seven, as the low end of a word.
#[inline(always)]
fn last(bytes: &[u8], rest: &[u8]) -> u64 {
    // Read as few overlapping words, not byte by byte.
    if let Some(word) = bytes.last_chunk() {
        // Two shifts, since no rest at all means a shift by 64.
        return u64::from_le_bytes(*word) >> 8 >> (56 - 8 * rest.len());
    }
    if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (rest.len() - 4));
    }
    match *rest {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c, ..] => u64::from(u32::from_le_bytes([a, b, c, 0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    fn reference(Key(k0, k1): Key, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(k0, k1).hash(bytes)
    }

    #[test]
    fn every_length_of_a_short_key() {
        let bytes: Vec<u8> = (1..=255).cycle().take(600).collect();
        for length in 0..=bytes.len() {
            let key = Key(length as u64, !0);
            assert_eq!(hash(key, &bytes[..length]), reference(key, &bytes[..length]), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn it_is_siphash_1_3(k0: u64, k1: u64, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(hash(Key(k0, k1), &bytes), reference(Key(k0, k1), &bytes));
        }
    }
}
