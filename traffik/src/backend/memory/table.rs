//! [`Table`]: buckets that multiply one at a time.
//!
//! [`Growth`] determines which bucket a key belongs to. Growing moves the keys of one bucket at a time, so no request
//! ever waits for a whole table to be moved. Buckets are in segments that are never moved or freed, so readers need
//! no reclamation scheme: they lock the bucket that they computed, and check whether it is still the right one.
//!
//! Locks are taken in ascending order of buckets, or only tried.

use smallvec::SmallVec;

use super::bucket::{Bucket, Common, Entry, Guard, Slot};
use super::eviction_rank::eviction_rank;
use super::growth::{BucketMove, FIRST_STAGE, Growth, GrowthStage};
use super::load::{buckets, is_crowded};
use super::nodes::Nodes;
use super::packed_state::REFUSED;
use super::step::{InPlaceStep, Step, expiry, store};
use super::sync::{AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering};
use crate::backend::{Op, Verdict};
use crate::strategy::State;

pub(super) struct Table {
    pub(super) growth: Growth,
    stage: AtomicU64,
    segments: Box<[OnceLock<Box<[Bucket]>>]>,
    /// log2 of the buckets in a segment, and the mask of an index for the place within one.
    segment_bits: u32,
    segment_mask: usize,
    capacity: usize,
    pub(super) common: Common,
    /// Keys held.
    pub(super) count: AtomicUsize,
    /// Keys held beyond the capacity, to be evicted by the next insertions.
    pub(super) surplus: AtomicUsize,
    /// Where the next sweep looks.
    pub(super) hand: AtomicUsize,
    growing: Mutex<()>,
}

/// A bucket found for a tag while the table was at this stage.
#[derive(Clone, Copy)]
pub(super) struct LocatedBucket<'a> {
    pub(super) stage: GrowthStage,
    pub(super) index: usize,
    pub(super) bucket: &'a Bucket,
}

impl Table {
    /// Creates a table for states whose instants are mostly some time after `epoch`.
    pub(super) fn new(capacity: usize, epoch: u64) -> Self {
        let growth = Growth::new(buckets(capacity));
        let most = growth.max_buckets();
        // About a thousand segments, so that the directory stays in the L1 cache. There are more if they would be
        // large, because the first is allocated up front, however few keys there will be.
        let segment_bits = (most / 1024).next_power_of_two().clamp(16, 1 << 16).trailing_zeros();
        let segments: Box<[_]> = (0..=(most >> segment_bits)).map(|_| OnceLock::new()).collect();
        let table = Self {
            growth,
            stage: AtomicU64::new(FIRST_STAGE),
            segments,
            segment_bits,
            segment_mask: (1 << segment_bits) - 1,
            capacity,
            common: Common { epoch, nodes: Nodes::new() },
            count: AtomicUsize::new(0),
            surplus: AtomicUsize::new(0),
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
        let allocated = self.segments.iter().filter(|segment| segment.get().is_some()).count();
        let buckets = (allocated << self.segment_bits) * size_of::<Bucket>();
        buckets + self.common.nodes.bytes() + size_of_val(&*self.segments)
    }

    pub(super) fn stage(&self) -> GrowthStage {
        self.stage.load(Ordering::Acquire)
    }

    /// Returns how many buckets the keys are spread over.
    pub(super) fn size(&self) -> usize {
        self.growth.size(self.stage())
    }

    /// Returns the bucket at an index that is in use at the current stage.
    #[inline(always)]
    pub(super) fn bucket(&self, index: usize) -> &Bucket {
        let segment = &self.segments[index >> self.segment_bits];
        let buckets = segment.get().map_or_else(|| self.allocate(segment), |buckets| &**buckets);
        &buckets[index & self.segment_mask]
    }

    #[cold]
    fn allocate<'a>(&self, segment: &'a OnceLock<Box<[Bucket]>>) -> &'a [Bucket] {
        segment.get_or_init(|| (0..1_usize << self.segment_bits).map(|_| Bucket::new()).collect())
    }

    /// Returns the bucket at an index, unless its segment has not been needed yet.
    pub(super) fn allocated(&self, index: usize) -> Option<&Bucket> {
        self.segments[index >> self.segment_bits].get()?.get(index & self.segment_mask)
    }

    /// Returns the buckets of all segments that have been needed so far, or come to be needed meanwhile.
    pub(super) fn all_allocated(&self) -> impl Iterator<Item = &Bucket> {
        self.segments.iter().filter_map(OnceLock::get).flatten()
    }

    /// Returns where a tag's bucket currently is. Its cache lines are prefetched while the caller does something
    /// else.
    #[inline(always)]
    pub(super) fn locate(&self, tag: u64) -> LocatedBucket<'_> {
        self.locate_at(self.stage(), tag)
    }

    /// The same for a table at this stage.
    #[inline(always)]
    pub(super) fn locate_at(&self, stage: GrowthStage, tag: u64) -> LocatedBucket<'_> {
        let index = self.growth.home_bucket(stage, tag);
        let bucket = self.bucket(index);
        bucket.prefetch();
        LocatedBucket { stage, index, bucket }
    }

    /// Locks the bucket of a tag, wherever it is by now.
    #[inline(always)]
    fn lock<'a>(&'a self, tag: u64, located: LocatedBucket<'a>) -> (usize, Guard<'a>) {
        let guard = located.bucket.lock(&self.common);
        // A thread that moves keys publishes the new stage before it unlocks their buckets.
        if self.stage() == located.stage {
            return (located.index, guard);
        }
        self.lock_since_moved(tag, located.index, guard)
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
        while self.growth.home_bucket(self.stage(), tag) != index {
            drop(guard);
            let located = self.locate(tag);
            (index, guard) = (located.index, located.bucket.lock(&self.common));
        }
        (index, guard)
    }

    /// Takes one step on the state of a tag.
    #[inline]
    pub(super) fn decide_one(
        &self,
        tag: u64,
        located: LocatedBucket<'_>,
        op: Op,
        now: u64,
        step: impl Step,
    ) -> Verdict {
        let (index, mut guard) = self.lock(tag, located);
        match guard.find(tag) {
            Some(slot) => self.step(slot, op, now, step),
            None => self.decide_new(index, guard, tag, now, step),
        }
    }

    /// The same for a step that only goes from two words to two words; `None` if there are none.
    #[inline(always)]
    pub(super) fn step_in_place<S: InPlaceStep>(
        &self,
        located: LocatedBucket<'_>,
        now: u64,
        step: &S,
    ) -> Option<S::Outcome> {
        let hint = located.bucket.probe(step.tag());
        let (_, mut guard) = self.lock(step.tag(), located);
        let mut slot = guard.find_at(hint, step.tag())?;
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
        let (verdict, inserted) = self.step_new(index, &mut guard, tag, now, step);
        drop(guard);
        if inserted {
            self.maintain(index, now);
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
    pub(super) fn step_new(
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
        let expiry = expiry(now, &verdict);
        let entry = self.common.entry(tag, state, expiry, eviction_rank(&verdict));
        self.insert(home, guard, now, expiry, entry);
        (verdict, true)
    }

    #[cold]
    fn insert(&self, home: usize, guard: &mut Guard<'_>, now: u64, expiry: u64, entry: Entry) {
        let Some(entry) = guard.replace_expired(now, entry) else { return };
        let held = self.count.fetch_add(1, Ordering::Relaxed);
        if held >= self.capacity && !self.make_room(home, guard, now, expiry, held) {
            // Released after the count was raised: see `take_surplus`.
            self.surplus.fetch_add(1, Ordering::Release);
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
    /// full. Waits for no lock while it holds another.
    #[cold]
    pub(super) fn maintain(&self, index: usize, now: u64) {
        self.evict_surplus(index, now);
        let stage = self.stage();
        let size = self.growth.size(stage);
        let hand = self.hand.fetch_add(1, Ordering::Relaxed) % size;
        let own = self.growth.position_of(stage, index);
        let hand = if hand == own { (hand + 1) % size } else { hand };
        self.sweep(self.growth.nth_bucket(stage, hand), now);
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
        let Some(BucketMove { stage, from, to }) = self.growth.next_move(self.stage()) else { return };
        let mut guard = self.bucket(from).lock(&self.common);
        // The lowest keys may stay where they are.
        let first = *to.start();
        let mut guards: SmallVec<[Guard<'_>; 4]> =
            to.filter(|&index| index != from).map(|index| self.bucket(index).lock(&self.common)).collect();
        let above = first + usize::from(first == from);
        let before = self.stage();
        let home = |tag| self.growth.home_bucket(stage, self.growth.full_tag(before, from, tag));
        guard.extract(
            |tag| home(tag) != from,
            |entry| self.put(&mut guards[home(entry.tag()) - above], entry),
        );
        self.stage.store(stage, Ordering::Release);
    }
}
