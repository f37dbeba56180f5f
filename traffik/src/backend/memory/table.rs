//! [`Table`]: buckets that multiply one at a time (Litwin, "Linear hashing", VLDB 1980).
//!
//! The table has `size` buckets; a key lives in bucket `h mod 2^k`, or `h mod 2^(k-1)` where the
//! first does not exist yet. Growing splits one bucket in two, so that no request ever waits for a
//! whole table to be moved. Buckets stand in segments that are never moved or freed, so a reader
//! needs no reclamation scheme: it locks the bucket it computed and looks again whether that still
//! is the right one.
//!
//! Locks are taken in ascending order of bucket, or tried.

#![allow(unsafe_code)]

use smallvec::SmallVec;

use super::bucket::{Bucket, Entry, Guard, REFUSED};
use super::sync::{AtomicUsize, Mutex, OnceLock, Ordering};
use crate::backend::{Hit, Op, Verdict};
use crate::strategy::State;

/// Keys per bucket that the table aims at: above it, it grows.
const LOAD: usize = 4;

pub(super) struct Table {
    /// How many buckets there are.
    size: AtomicUsize,
    segments: Box<[OnceLock<Box<[Bucket]>>]>,
    /// log2 of the buckets in a segment.
    segment_bits: u32,
    capacity: usize,
    /// Keys held.
    pub(super) count: AtomicUsize,
    /// Nodes hung behind full buckets, for [`Table::bytes`].
    pub(super) nodes: AtomicUsize,
    /// Where the next sweep looks.
    pub(super) hand: AtomicUsize,
    growing: Mutex<()>,
    /// Second 0 of the expiries.
    epoch: u64,
}

/// A bucket found for a tag while the table had `size` buckets.
pub(super) struct Spot<'a> {
    size: usize,
    index: usize,
    bucket: &'a Bucket,
}

impl Table {
    pub(super) fn new(capacity: usize, now: u64) -> Self {
        let most = capacity / LOAD + 2;
        // About a thousand segments: the directory stays in the first-level cache.
        let segment_bits = (most / 1024).next_power_of_two().max(16).trailing_zeros();
        let segments: Box<[_]> = (0..=(most >> segment_bits)).map(|_| OnceLock::new()).collect();
        let table = Self {
            size: AtomicUsize::new(1),
            segments,
            segment_bits,
            capacity,
            count: AtomicUsize::new(0),
            nodes: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            growing: Mutex::new(()),
            epoch: (now / 1_000_000).saturating_sub(1),
        };
        table.segment(0);
        table
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn bytes(&self) -> usize {
        let made = self.segments.iter().filter(|segment| segment.get().is_some()).count();
        let buckets = (made << self.segment_bits) * size_of::<Bucket>();
        // A node is a bucket without its lock, rounded up to what allocators hand out.
        let nodes = self.nodes.load(Ordering::Relaxed) * size_of::<Bucket>();
        buckets + nodes + size_of_val(&*self.segments)
    }

    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    /// Which of `size` buckets a tag belongs to.
    #[inline]
    fn home(tag: u64, size: usize) -> usize {
        let mask = size.next_power_of_two() - 1;
        let wide = tag as usize & mask;
        if wide < size { wide } else { tag as usize & (mask >> 1) }
    }

    fn segment(&self, index: usize) -> &[Bucket] {
        self.segments[index]
            .get_or_init(|| (0..1_usize << self.segment_bits).map(|_| Bucket::new()).collect())
    }

    #[inline]
    pub(super) fn bucket(&self, index: usize) -> &Bucket {
        let segment = self.segment(index >> self.segment_bits);
        &segment[index & ((1 << self.segment_bits) - 1)]
    }

    /// Where a tag's bucket is at present. Its cache lines are asked for, while the caller does
    /// something else.
    #[inline]
    pub(super) fn spot(&self, tag: u64) -> Spot<'_> {
        let size = self.size();
        let index = Self::home(tag, size);
        let bucket = self.bucket(index);
        bucket.prefetch();
        Spot { size, index, bucket }
    }

    /// Locks the bucket of a tag, wherever it is by now.
    #[inline]
    fn lock<'a>(&'a self, tag: u64, mut spot: Spot<'a>) -> (usize, Guard<'a>) {
        loop {
            let guard = spot.bucket.lock();
            // A split publishes the new size before it lets go of the bucket it split.
            let size = self.size();
            if size == spot.size || Self::home(tag, size) == spot.index {
                return (spot.index, guard);
            }
            drop(guard);
            spot = self.spot(tag);
        }
    }

    /// Whole seconds on the table's count: the last in which something of `instant` is kept.
    pub(super) fn second(&self, instant: u64) -> u32 {
        u32::try_from((instant / 1_000_000).saturating_sub(self.epoch)).unwrap_or(u32::MAX).max(1)
    }

    #[inline]
    pub(super) fn decide_one(&self, op: Op, now: u64, hit: &Hit<'_>, spot: Spot<'_>) -> Verdict {
        let (index, mut guard) = self.lock(hit.hash(), spot);
        let (verdict, inserted) = self.apply(index, &mut guard, op, now, hit);
        drop(guard);
        if inserted {
            self.tend(index, now);
        }
        verdict
    }

    pub(super) fn decide_batch(&self, op: Op, now: u64, hits: &[Hit<'_>], each: &mut SmallVec<[Verdict; 2]>) {
        if op != Op::Hit {
            each.extend(hits.iter().map(|hit| self.decide_one(op, now, hit, self.spot(hit.hash()))));
            return;
        }
        let mut indices: SmallVec<[usize; 4]> = SmallVec::new();
        let mut guards: SmallVec<[Guard<'_>; 4]> = SmallVec::new();
        loop {
            let size = self.size();
            let home = |hit: &Hit<'_>| Self::home(hit.hash(), size);
            indices.clear();
            indices.extend(hits.iter().map(home));
            indices.sort_unstable();
            indices.dedup();
            guards.extend(indices.iter().map(|&index| self.bucket(index).lock()));
            let size = self.size();
            if hits.iter().all(|hit| indices.contains(&Self::home(hit.hash(), size))) {
                break;
            }
            guards.clear();
        }
        let size = self.size();
        let mut inserted = None;
        for round in [Op::Check, Op::Hit] {
            if round == Op::Hit && !each.iter().all(|verdict| verdict.admitted) {
                break;
            }
            each.clear();
            for hit in hits {
                let index = Self::home(hit.hash(), size);
                let Ok(place) = indices.binary_search(&index) else { continue };
                let (verdict, new) = self.apply(index, &mut guards[place], round, now, hit);
                if new {
                    inserted = Some(index);
                }
                each.push(verdict);
            }
        }
        drop(guards);
        if let Some(index) = inserted {
            self.tend(index, now);
        }
    }

    /// Takes one step under the bucket's lock; says whether a key was added.
    #[inline]
    fn apply(&self, home: usize, guard: &mut Guard<'_>, op: Op, now: u64, hit: &Hit<'_>) -> (Verdict, bool) {
        let tag = hit.hash();
        if let Some(mut slot) = guard.find(tag) {
            let mut state = slot.take_state();
            let verdict = hit.step(op, now, &mut state);
            if state == State::Empty {
                slot.clear();
                self.count.fetch_sub(1, Ordering::Relaxed);
            } else if verdict.admitted && op.changes() {
                slot.refresh(state, self.second(now.saturating_add(verdict.keep_for)), pressure(&verdict));
            } else {
                let expiry = slot.expiry();
                slot.refresh(state, expiry, pressure(&verdict));
            }
            return (verdict, false);
        }
        let mut state = State::Empty;
        let verdict = hit.step(op, now, &mut state);
        if state == State::Empty {
            return (verdict, false);
        }
        let expiry = self.second(now.saturating_add(verdict.keep_for));
        self.insert(home, guard, now, Entry { tag, expiry, pressure: pressure(&verdict), state });
        (verdict, true)
    }

    #[cold]
    fn insert(&self, home: usize, guard: &mut Guard<'_>, now: u64, entry: Entry) {
        let second = self.second(now);
        if let Some((mut slot, false)) = guard.vacant(second) {
            slot.put(entry);
            return;
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.make_room(home, guard, second);
        }
        if guard.insert(entry) {
            self.nodes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What an insertion owes the table: a look at one bucket for expired keys, and a split if the
    /// buckets have become too full. Takes no lock while another is held.
    #[cold]
    fn tend(&self, index: usize, now: u64) {
        let size = self.size();
        let hand = self.hand.fetch_add(1, Ordering::Relaxed) % size;
        self.sweep(if hand == index { (hand + 1) % size } else { hand }, self.second(now));
        if self.len() > size * LOAD && size < self.segments.len() << self.segment_bits {
            self.split();
        }
    }

    fn split(&self) {
        // One at a time; whoever comes second leaves it to the first.
        let Some(_growing) = self.growing.try_lock() else { return };
        let size = self.size();
        if size >= self.segments.len() << self.segment_bits {
            return;
        }
        let old = Self::home(size as u64, size);
        let mut from = self.bucket(old).lock();
        let mut into = self.bucket(size).lock();
        let mut added = 0;
        let removed = from.extract(
            |tag| Self::home(tag, size + 1) == size,
            |entry| added += usize::from(into.insert(entry)),
        );
        self.size.store(size + 1, Ordering::Release);
        self.nodes.fetch_add(added, Ordering::Relaxed);
        self.nodes.fetch_sub(removed, Ordering::Relaxed);
    }
}

/// How near an account is to refusal: 0 full, [`REFUSED`] at the limit.
#[inline]
fn pressure(verdict: &Verdict) -> u8 {
    if !verdict.admitted || verdict.remaining == 0 {
        return REFUSED;
    }
    // The top seven bits of `limit` set the scale: no division.
    let scale = (u64::BITS - verdict.limit.leading_zeros()).saturating_sub(7);
    ((verdict.used >> scale) as u8).min(REFUSED - 1)
}
