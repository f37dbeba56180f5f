//! [`Growth`]: which bucket a tag belongs to, while the table grows by a quarter at a time.
//!
//! A tag is read as a fraction of 2^64, and its bucket is at that fraction of all buckets, so buckets
//! are in the order of their tags. Growing from `old` buckets to `new` goes down from the last one,
//! bucket by bucket. The bucket's tags then belong further up, or where they already are, and
//! everything further up has been moved before. So the table grows in place, and never moves more than
//! one bucket at once.
//!
//! This is linear hashing (Litwin, VLDB 1980) with the order of tags preserved. Doubling bucket by
//! bucket, as in the paper, leaves buckets that are not yet split with twice the keys of the others.
//! Here they have only a quarter more, so buckets can be kept fuller.

use std::ops::RangeInclusive;

use super::fingerprint::TAG;

/// How far the table has grown: a generation, and how many of its old buckets have yet to be moved. A
/// single word, so that both are read and replaced at once.
pub(super) type GrowthStage = u64;

/// Bits of a [`GrowthStage`] that count buckets.
const COUNT: u32 = 56;

/// The buckets of the smallest table: as many as the bits of a tag that are not kept can distinguish.
pub(super) const LEAST: usize = 1 << (u64::BITS - TAG);

/// The stage of the smallest table.
pub(super) const FIRST_STAGE: GrowthStage = LEAST as GrowthStage;

/// Room for more generations than any memory holds: as many as a generation's byte can index.
const GENERATIONS: usize = 256;

/// The sizes that a table grows through.
pub(super) struct Growth {
    /// Buckets before and after each generation. Those past the last are never reached.
    sizes: Box<[[u64; 2]; GENERATIONS]>,
    most: u64,
}

/// A move of one bucket's keys.
pub(super) struct BucketMove {
    /// The table's stage afterwards.
    pub(super) stage: GrowthStage,
    pub(super) from: usize,
    /// Where the keys may go, in order; never below `from`.
    pub(super) to: RangeInclusive<usize>,
}

impl Growth {
    /// Creates the sizes up to at least `most` buckets.
    pub(super) fn new(most: usize) -> Self {
        let (most, mut size) = (most as u64, LEAST as u64);
        let mut sizes = Box::new([[0; 2]; GENERATIONS]);
        for generation in &mut *sizes {
            let before = size;
            if size < most {
                size = size.saturating_add(size / 4);
            }
            *generation = [before, size];
        }
        Self { sizes, most: size }
    }

    /// Buckets before and after this generation, and how many have yet to be moved.
    #[inline]
    fn read(&self, stage: GrowthStage) -> (u64, u64, u64) {
        let [before, after] = self.sizes[usize::from((stage >> COUNT) as u8)];
        (before, after, stage & ((1 << COUNT) - 1))
    }

    /// Returns the bucket of a tag.
    #[inline]
    pub(super) fn home_bucket(&self, stage: GrowthStage, tag: u64) -> usize {
        let (old, new, left) = self.read(stage);
        let (before, after) = (part(tag, old), part(tag, new));
        (if before < left { before } else { after }) as usize
    }

    /// Returns the full tag of a key in this bucket, from the bits of it that are kept. No bucket has
    /// two tags that share those bits: the buckets of a table of [`LEAST`] are narrow enough, and those
    /// of larger tables are no wider.
    pub(super) fn full_tag(&self, stage: GrowthStage, place: usize, kept: u64) -> u64 {
        let (old, new, left) = self.read(stage);
        let buckets = if (place as u64) < left { old } else { new };
        // Below 2^64, because places are below `buckets`.
        let first = ((place as u128) << 64).div_ceil(u128::from(buckets)) as u64;
        first.wrapping_add(kept.wrapping_sub(first) & ((1 << TAG) - 1))
    }

    /// Returns how many buckets the keys are spread over.
    pub(super) fn size(&self, stage: GrowthStage) -> usize {
        let (old, new, left) = self.read(stage);
        (left + new - part_of(left, new, old)) as usize
    }

    /// Returns the index of the `n`th of them. There is a gap between those that have yet to be moved
    /// and those that have been.
    pub(super) fn nth_bucket(&self, stage: GrowthStage, n: usize) -> usize {
        let (old, new, left) = self.read(stage);
        let n = n as u64;
        (if n < left { n } else { n - left + part_of(left, new, old) }) as usize
    }

    /// The inverse of [`nth_bucket`](Self::nth_bucket).
    pub(super) fn position_of(&self, stage: GrowthStage, place: usize) -> usize {
        let (old, new, left) = self.read(stage);
        let place = place as u64;
        (if place < left { place } else { place + left - part_of(left, new, old) }) as usize
    }

    /// The most buckets that there can be.
    pub(super) fn max_buckets(&self) -> usize {
        self.most as usize
    }

    /// Returns the next move, or `None` if the table cannot grow further.
    pub(super) fn next_move(&self, stage: GrowthStage) -> Option<BucketMove> {
        let (_, new, left) = self.read(stage);
        let stage = match left {
            0 if new as usize >= self.max_buckets() => return None,
            0 => ((stage >> COUNT) + 1) << COUNT | new,
            _ => stage,
        };
        let (old, new, left) = self.read(stage);
        let from = left - 1;
        let first = part_of(from, new, old);
        // The last tag of this bucket is just below the first of the next.
        let last = (u128::from(left) * u128::from(new)).div_ceil(u128::from(old)) as u64 - 1;
        Some(BucketMove { stage: stage - 1, from: from as usize, to: first as usize..=last as usize })
    }
}

/// `tag / 2^64` of this many buckets.
#[inline]
fn part(tag: u64, buckets: u64) -> u64 {
    ((u128::from(tag) * u128::from(buckets)) >> 64) as u64
}

/// `a · b / c`, rounded down, for `a ≤ c`.
fn part_of(a: u64, b: u64, c: u64) -> u64 {
    (u128::from(a) * u128::from(b) / u128::from(c)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Tags from the whole range, including the ends of ranges.
    fn tags() -> impl Iterator<Item = u64> {
        let even = (0..=1_000_u64).map(|i| i * (u64::MAX / 1_000));
        even.flat_map(|tag| [tag.saturating_sub(1), tag, tag.saturating_add(1)]).chain([0, u64::MAX])
    }

    /// Growing bucket by bucket moves each tag to where [`Growth::home_bucket`] looks for it
    /// next, and moves no other.
    #[test]
    fn tags_are_moved_to_where_they_are_looked_for() {
        let growth = Growth::new(1_000);
        let mut stage = FIRST_STAGE;
        let mut placed: BTreeMap<u64, usize> =
            tags().map(|tag| (tag, growth.home_bucket(stage, tag))).collect();
        let mut steps = 0;
        while let Some(next) = growth.next_move(stage) {
            assert!(*next.to.start() >= next.from && next.to.clone().count() <= 3, "{:?}", next.to);
            for (&tag, place) in &mut placed {
                let home = growth.home_bucket(next.stage, tag);
                if *place == next.from && growth.home_bucket(stage, tag) == next.from {
                    assert!(next.to.contains(&home), "{tag}: {home} is not in {:?}", next.to);
                } else {
                    assert_eq!(home, *place, "{tag} moved on its own");
                }
                *place = home;
                assert_eq!(growth.full_tag(next.stage, home, tag & ((1 << TAG) - 1)), tag);
                let number = growth.position_of(next.stage, home);
                assert!(number < growth.size(next.stage));
                assert_eq!(growth.nth_bucket(next.stage, number), home);
            }
            assert!(growth.size(next.stage) >= growth.size(stage));
            (stage, steps) = (next.stage, steps + 1);
        }
        assert!(steps > 700 && growth.size(stage) == growth.max_buckets() && growth.max_buckets() >= 1_000);
    }

    #[test]
    fn buckets_stand_in_the_order_of_their_tags() {
        let growth = Growth::new(600);
        let mut stage = FIRST_STAGE;
        while let Some(next) = growth.next_move(stage) {
            stage = next.stage;
            let homes: Vec<_> = tags().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            assert!(homes.is_sorted_by_key(|tag| growth.home_bucket(stage, *tag)));
        }
    }
}
