//! [`Growth`]: which bucket a tag lives in, while the table grows by a quarter at a time.
//!
//! A tag is read as a fraction of 2^64, and its bucket is that fraction of all buckets: buckets
//! stand in the order of their tags. Growing from `old` buckets to `new` goes down from the last
//! one, bucket by bucket. Its tags belong further up then, or where they are, and all that is
//! further up has been moved before, so the table grows in place: nothing is ever moved at once
//! that is more than a bucket.
//!
//! This is linear hashing (Litwin, VLDB 1980) with the order of tags kept. Doubling bucket by bucket,
//! as he does, leaves those not yet split with twice the keys of the others; here it is a quarter
//! more, so that buckets can be kept fuller.

use std::ops::RangeInclusive;

use super::name::TAG;

/// How far the table has grown: a generation, and how many of its old buckets are still to be
/// moved. One word, so that it is read and replaced at once.
pub(super) type Shape = u64;

/// Bits of a [`Shape`] that count buckets.
const COUNT: u32 = 56;

/// The buckets of the smallest table: as many as the bits of a tag that are not kept can tell apart.
pub(super) const LEAST: usize = 1 << (u64::BITS - TAG);

/// Its shape.
pub(super) const SMALLEST: Shape = LEAST as Shape;

/// Room for more generations than any memory holds: what a generation's byte can index.
const GENERATIONS: usize = 256;

/// The sizes that a table grows through.
pub(super) struct Growth {
    /// Buckets before and after a generation. Those past the last are never reached.
    sizes: Box<[[u64; 2]; GENERATIONS]>,
    most: u64,
}

/// One bucket's keys to be moved.
pub(super) struct Move {
    /// How the table stands afterwards.
    pub(super) shape: Shape,
    pub(super) from: usize,
    /// Where they may go, in order; never below `from`.
    pub(super) to: RangeInclusive<usize>,
}

impl Growth {
    /// Up to at least `most` buckets.
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

    /// Buckets before and after this generation, and how many are still to be moved.
    #[inline]
    fn read(&self, shape: Shape) -> (u64, u64, u64) {
        let [before, after] = self.sizes[usize::from((shape >> COUNT) as u8)];
        (before, after, shape & ((1 << COUNT) - 1))
    }

    /// The bucket of a tag.
    #[inline]
    pub(super) fn home(&self, shape: Shape, tag: u64) -> usize {
        let (old, new, left) = self.read(shape);
        let (before, after) = (part(tag, old), part(tag, new));
        (if before < left { before } else { after }) as usize
    }

    /// The tag in full of a key in this bucket, by the bits of it that are kept. No bucket has two tags
    /// that share those: a table of [`LEAST`] buckets has none that is wider, nor has a larger one.
    pub(super) fn whole(&self, shape: Shape, place: usize, kept: u64) -> u64 {
        let (old, new, left) = self.read(shape);
        let buckets = if (place as u64) < left { old } else { new };
        // Below 2^64, as places are below `buckets`.
        let first = ((place as u128) << 64).div_ceil(u128::from(buckets)) as u64;
        first.wrapping_add(kept.wrapping_sub(first) & ((1 << TAG) - 1))
    }

    /// How many buckets the keys are spread over.
    pub(super) fn size(&self, shape: Shape) -> usize {
        let (old, new, left) = self.read(shape);
        (left + new - part_of(left, new, old)) as usize
    }

    /// Where the `n`th of them stands. Between those still to be moved and those that have been,
    /// there is a gap.
    pub(super) fn place(&self, shape: Shape, n: usize) -> usize {
        let (old, new, left) = self.read(shape);
        let n = n as u64;
        (if n < left { n } else { n - left + part_of(left, new, old) }) as usize
    }

    /// The other way round.
    pub(super) fn number(&self, shape: Shape, place: usize) -> usize {
        let (old, new, left) = self.read(shape);
        let place = place as u64;
        (if place < left { place } else { place + left - part_of(left, new, old) }) as usize
    }

    /// The most buckets that there can be.
    pub(super) fn most(&self) -> usize {
        self.most as usize
    }

    /// What is to be moved next; `None` when the table cannot grow further.
    pub(super) fn next(&self, shape: Shape) -> Option<Move> {
        let (_, new, left) = self.read(shape);
        let shape = match left {
            0 if new as usize >= self.most() => return None,
            0 => ((shape >> COUNT) + 1) << COUNT | new,
            _ => shape,
        };
        let (old, new, left) = self.read(shape);
        let from = left - 1;
        let first = part_of(from, new, old);
        // The last tag of this bucket is just below the first of the next.
        let last = (u128::from(left) * u128::from(new)).div_ceil(u128::from(old)) as u64 - 1;
        Some(Move { shape: shape - 1, from: from as usize, to: first as usize..=last as usize })
    }
}

/// `tag / 2^64` of so many buckets.
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

    /// Tags from all over, the ends of ranges among them.
    fn tags() -> impl Iterator<Item = u64> {
        let even = (0..=1_000_u64).map(|i| i * (u64::MAX / 1_000));
        even.flat_map(|tag| [tag.saturating_sub(1), tag, tag.saturating_add(1)]).chain([0, u64::MAX])
    }

    /// Growing bucket by bucket moves every tag where [`Growth::home`] looks for it next, and no other.
    #[test]
    fn tags_are_moved_to_where_they_are_looked_for() {
        let growth = Growth::new(1_000);
        let mut shape = SMALLEST;
        let mut placed: BTreeMap<u64, usize> = tags().map(|tag| (tag, growth.home(shape, tag))).collect();
        let mut steps = 0;
        while let Some(next) = growth.next(shape) {
            assert!(*next.to.start() >= next.from && next.to.clone().count() <= 3, "{:?}", next.to);
            for (&tag, place) in &mut placed {
                let home = growth.home(next.shape, tag);
                if *place == next.from && growth.home(shape, tag) == next.from {
                    assert!(next.to.contains(&home), "{tag}: {home} is not in {:?}", next.to);
                } else {
                    assert_eq!(home, *place, "{tag} moved on its own");
                }
                *place = home;
                assert_eq!(growth.whole(next.shape, home, tag & ((1 << TAG) - 1)), tag);
                let number = growth.number(next.shape, home);
                assert!(number < growth.size(next.shape));
                assert_eq!(growth.place(next.shape, number), home);
            }
            assert!(growth.size(next.shape) >= growth.size(shape));
            (shape, steps) = (next.shape, steps + 1);
        }
        assert!(steps > 700 && growth.size(shape) == growth.most() && growth.most() >= 1_000);
    }

    #[test]
    fn buckets_stand_in_the_order_of_their_tags() {
        let growth = Growth::new(600);
        let mut shape = SMALLEST;
        while let Some(next) = growth.next(shape) {
            shape = next.shape;
            let homes: Vec<_> = tags().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            assert!(homes.is_sorted_by_key(|tag| growth.home(shape, *tag)));
        }
    }
}
