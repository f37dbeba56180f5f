//! [`Table`]: buckets that multiply one at a time.
//!
//! [`Growth`] determines which bucket a key belongs to. Growing moves the keys of one bucket at a time, so no request
//! ever waits for a whole table to be moved. Buckets are in segments that are never moved or freed, so readers need
//! no reclamation scheme: they lock the bucket that they computed, and check whether it is still the right one.
//!
//! Locks are taken in ascending order of buckets, or only tried.

use smallvec::SmallVec;

use super::bucket::{Bucket, Common, Entry, Guard, Slot};
use super::packed_state::REFUSED;
use super::growth::{Growth, Move, SMALLEST, Shape};
use super::load::{buckets, is_crowded};
use super::nodes::Nodes;
use super::eviction_rank::eviction_rank;
use super::step::{InPlaceStep, Step, expiry, store};
use super::sync::{AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering};
use crate::backend::{Op, Verdict};
use crate::strategy::State;

pub(super) struct Table {
    pub(super) growth: Growth,
    shape: AtomicU64,
    segments: Box<[OnceLock<Box<[Bucket]>>]>,
    /// log2 of the buckets in a segment, and the mask of an index for the place within one.
    segment_bits: u32,
    segment_mask: usize,
    capacity: usize,
    pub(super) common: Common,
    /// Keys held.
    pub(super) count: AtomicUsize,
    /// Where the next sweep looks.
    pub(super) hand: AtomicUsize,
    growing: Mutex<()>,
}

/// A bucket found for a tag while the table had this shape.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) shape: Shape,
    pub(super) index: usize,
    pub(super) bucket: &'a Bucket,
}

impl Table {
    /// Creates a table for states whose instants are mostly some time after `epoch`.
    pub(super) fn new(capacity: usize, epoch: u64) -> Self {
        let growth = Growth::new(buckets(capacity));
        let most = growth.most();
        // About a thousand segments, so that the directory stays in the L1 cache. There are more if they would be
        // large, because the first is allocated up front, however few keys there will be.
        let segment_bits = (most / 1024).next_power_of_two().clamp(16, 1 << 16).trailing_zeros();
        let segments: Box<[_]> = (0..=(most >> segment_bits)).map(|_| OnceLock::new()).collect();
        let table = Self {
            growth,
            shape: AtomicU64::new(SMALLEST),
            segments,
            segment_bits,
            segment_mask: (1 << segment_bits) - 1,
            capacity,
            common: Common { epoch, nodes: Nodes::new() },
            count: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            growing: Mutex::new(()),
        };
        table.bucket(0);
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
        buckets + self.common.nodes.bytes() + size_of_val(&*self.segments)
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape.load(Ordering::Acquire)
    }

    /// Returns how many buckets the keys are spread over.
    pub(super) fn size(&self) -> usize {
        self.growth.size(self.shape())
    }

    /// Returns the bucket at an index that the current shape uses.
    #[inline(always)]
    pub(super) fn bucket(&self, index: usize) -> &Bucket {
        let segment = &self.segments[index >> self.segment_bits];
        let buckets = segment.get().map_or_else(|| self.make(segment), |buckets| &**buckets);
        &buckets[index & self.segment_mask]
    }

    #[cold]
    fn make<'a>(&self, segment: &'a OnceLock<Box<[Bucket]>>) -> &'a [Bucket] {
        segment.get_or_init(|| (0..1_usize << self.segment_bits).map(|_| Bucket::new()).collect())
    }

    /// The same, unless it has not been needed yet.
    pub(super) fn made(&self, index: usize) -> Option<&Bucket> {
        self.segments[index >> self.segment_bits].get()?.get(index & self.segment_mask)
    }

    /// Returns where a tag's bucket currently is. Its cache lines are prefetched while the caller does something
    /// else.
    #[inline(always)]
    pub(super) fn spot(&self, tag: u64) -> Spot<'_> {
        self.spot_at(self.shape(), tag)
    }

    /// The same for a table of this shape.
    #[inline(always)]
    pub(super) fn spot_at(&self, shape: Shape, tag: u64) -> Spot<'_> {
        let index = self.growth.home(shape, tag);
        let bucket = self.bucket(index);
        bucket.prefetch();
        Spot { shape, index, bucket }
    }

    /// Locks the bucket of a tag, wherever it is by now.
    #[inline(always)]
    fn lock<'a>(&'a self, tag: u64, spot: Spot<'a>) -> (usize, Guard<'a>) {
        let guard = spot.bucket.lock(&self.common);
        // A thread that moves keys publishes the new shape before it unlocks their buckets.
        if self.shape() == spot.shape {
            return (spot.index, guard);
        }
        self.lock_since_moved(tag, spot.index, guard)
    }

    /// The same if keys have been moved since the bucket was found, though perhaps not this one. Out of line, because
    /// callers would set up the loop's registers in advance, and most never come here.
    #[cold]
    #[inline(never)]
    fn lock_since_moved<'a>(
        &'a self,
        tag: u64,
        mut index: usize,
        mut guard: Guard<'a>,
    ) -> (usize, Guard<'a>) {
        while self.growth.home(self.shape(), tag) != index {
            drop(guard);
            let spot = self.spot(tag);
            (index, guard) = (spot.index, spot.bucket.lock(&self.common));
        }
        (index, guard)
    }

    /// Takes one step on the state of a tag.
    #[inline]
    pub(super) fn decide_one(&self, tag: u64, spot: Spot<'_>, op: Op, now: u64, step: impl Step) -> Verdict {
        let (index, mut guard) = self.lock(tag, spot);
        match guard.find(tag) {
            Some(slot) => self.step(slot, op, now, step),
            None => self.decide_new(index, guard, tag, now, step),
        }
    }

    /// The same for a step that only goes from two words to two words; `None` if there are none.
    #[inline(always)]
    pub(super) fn step_in_place<S: InPlaceStep>(&self, spot: Spot<'_>, now: u64, step: &S) -> Option<S::Outcome> {
        let seen = spot.bucket.look(step.tag());
        let (_, mut guard) = self.lock(step.tag(), spot);
        let mut slot = guard.find_at(seen, step.tag())?;
        let (outcome, new) = step.apply(now, slot.words()?);
        match new {
            Some(new) => store(slot, now, step, outcome, &new),
            None => slot.set_rank(REFUSED),
        }
        Some(outcome)
    }

    /// Takes a step for a tag that is not in the table.
    #[cold]
    fn decide_new(&self, index: usize, mut guard: Guard<'_>, tag: u64, now: u64, step: impl Step) -> Verdict {
        let (verdict, inserted) = self.enter(index, &mut guard, tag, now, step);
        drop(guard);
        if inserted {
            self.tend(index, now);
        }
        verdict
    }

    /// Takes the step of a key that is in the table.
    #[inline]
    pub(super) fn step(&self, mut slot: Slot<'_>, op: Op, now: u64, step: impl Step) -> Verdict {
        let mut state = slot.take_state();
        let verdict = step(&mut state);
        if state == State::Empty {
            slot.clear();
            self.count.fetch_sub(1, Ordering::Relaxed);
            return verdict;
        }
        let changed = verdict.admitted && op.changes();
        slot.put_state(state, changed.then(|| expiry(now, &verdict)), eviction_rank(&verdict));
        verdict
    }

    /// Takes the step of a key that is not in the table yet; returns whether it was added.
    pub(super) fn enter(
        &self,
        home: usize,
        guard: &mut Guard<'_>,
        tag: u64,
        now: u64,
        step: impl Step,
    ) -> (Verdict, bool) {
        let mut state = State::Empty;
        let verdict = step(&mut state);
        if state == State::Empty {
            return (verdict, false);
        }
        let entry = self.common.entry(tag, state, expiry(now, &verdict), eviction_rank(&verdict));
        self.insert(home, guard, now, entry);
        (verdict, true)
    }

    #[cold]
    fn insert(&self, home: usize, guard: &mut Guard<'_>, now: u64, entry: Entry) {
        if let Some(mut slot) = guard.expired(now) {
            slot.put(entry);
            return;
        }
        let held = self.count.fetch_add(1, Ordering::Relaxed);
        if held >= self.capacity {
            self.make_room(home, guard, now, held);
        }
        self.put(guard, entry);
    }

    /// Puts a key into a bucket. A key that finds no room there or in a node would be forgotten, but there
    /// are more node numbers than any memory holds.
    fn put(&self, guard: &mut Guard<'_>, entry: Entry) {
        if !guard.insert(entry) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Upkeep after an insertion: checks one bucket for expired keys, and grows the table if buckets have become too
    /// full. Takes no lock while it holds another.
    #[cold]
    pub(super) fn tend(&self, index: usize, now: u64) {
        let shape = self.shape();
        let size = self.growth.size(shape);
        let hand = self.hand.fetch_add(1, Ordering::Relaxed) % size;
        let own = self.growth.number(shape, index);
        let hand = if hand == own { (hand + 1) % size } else { hand };
        self.sweep(self.growth.place(shape, hand), now);
        // Each additional key accounts for less than two moved buckets, so growth keeps pace.
        for _ in 0..2 {
            if !is_crowded(self.len(), self.size()) {
                break;
            }
            self.grow();
        }
    }

    fn grow(&self) {
        // One thread at a time; a second one leaves it to the first.
        let Some(_growing) = self.growing.try_lock() else { return };
        let Some(Move { shape, from, to }) = self.growth.next(self.shape()) else { return };
        let mut guard = self.bucket(from).lock(&self.common);
        // The lowest keys may stay where they are.
        let first = *to.start();
        let mut guards: SmallVec<[Guard<'_>; 4]> =
            to.filter(|&index| index != from).map(|index| self.bucket(index).lock(&self.common)).collect();
        let above = first + usize::from(first == from);
        let before = self.shape();
        let home = |tag| self.growth.home(shape, self.growth.whole(before, from, tag));
        guard.extract(
            |tag| home(tag) != from,
            |entry| self.put(&mut guards[home(entry.tag()) - above], entry),
        );
        self.shape.store(shape, Ordering::Release);
    }
}
