//! [`Table`]: buckets that multiply one at a time.
//!
//! Which bucket a key lives in is [`Growth`]'s to say. Growing moves the keys of one bucket at a time,
//! so that no request ever waits for a whole table to be moved. Buckets stand in segments that are
//! never moved or freed, so a reader needs no reclamation scheme: it locks the bucket it computed
//! and looks again whether that still is the right one.
//!
//! Locks are taken in ascending order of bucket, or tried.

use smallvec::SmallVec;

use super::bucket::{Bucket, Common, Entry, Guard, Slot, code_until};
use super::cell::REFUSED;
use super::growth::{Growth, Move, SMALLEST, Shape};
use super::load::{buckets, is_crowded};
use super::nodes::Nodes;
use super::pressure::pressure;
use super::sync::{AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering};
use crate::backend::{Hit, Op, Verdict};
use crate::few;
use crate::strategy::State;

/// As many keys as are taken in one round at most. A handler with more throttles is rare.
pub(crate) const FEW: usize = 5;

pub(super) struct Table {
    pub(super) growth: Growth,
    shape: AtomicU64,
    segments: Box<[OnceLock<Box<[Bucket]>>]>,
    /// log2 of the buckets in a segment, and the bits of a place that count inside one.
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

/// What is to be done with a state, under the lock of its bucket.
pub(super) trait Step: FnOnce(&mut State) -> Verdict {}

impl<F: FnOnce(&mut State) -> Verdict> Step for F {}

/// A step from two words to two words.
pub(super) trait Renewal {
    /// What comes of it.
    type Outcome: Copy + Default;

    /// Whose words they are.
    fn tag(&self) -> u64;

    /// That, and what is to be kept; `None` where it is refused, and everything stays.
    fn renew(&self, now: u64, words: [u64; 2]) -> (Self::Outcome, Option<Kept>);

    /// The last instant at which what is kept matters.
    fn expiry(&self, now: u64, outcome: Self::Outcome, words: [u64; 2]) -> u64;
}

/// What a step leaves behind.
#[derive(Clone, Copy, Default)]
pub(super) struct Kept {
    pub(super) words: [u64; 2],
    /// How long it matters from the first word on, which is an instant, as a code; 0 where there is none, or the second
    /// word does not fit.
    pub(super) code: u8,
    /// How near the account is to refusal.
    pub(super) pressure: u8,
}

impl Renewal for Hit<'_> {
    type Outcome = Verdict;

    #[inline(always)]
    fn tag(&self) -> u64 {
        self.hash()
    }

    #[inline(always)]
    fn renew(&self, now: u64, words: [u64; 2]) -> (Verdict, Option<Kept>) {
        match Hit::renew(self, now, words) {
            Some((verdict, words)) if verdict.admitted => {
                let code = code_until(expiry(now, &verdict), words);
                (verdict, Some(Kept { words, code, pressure: pressure(&verdict) }))
            }
            other => (other.map_or_else(Verdict::default, |(verdict, _)| verdict), None),
        }
    }

    fn expiry(&self, now: u64, verdict: Verdict, _: [u64; 2]) -> u64 {
        expiry(now, &verdict)
    }
}

/// A bucket found for a tag while the table had this shape.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    shape: Shape,
    index: usize,
    bucket: &'a Bucket,
}

impl Table {
    /// A table for states whose instants are mostly some time after `epoch`.
    pub(super) fn new(capacity: usize, epoch: u64) -> Self {
        let growth = Growth::new(buckets(capacity));
        let most = growth.most();
        // About a thousand segments: the directory stays in the first-level cache.
        let segment_bits = (most / 1024).next_power_of_two().max(16).trailing_zeros();
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

    /// How many buckets the keys are spread over.
    pub(super) fn size(&self) -> usize {
        self.growth.size(self.shape())
    }

    /// The bucket at a place that the present shape uses.
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

    /// The same, unless nobody has needed it yet.
    pub(super) fn made(&self, index: usize) -> Option<&Bucket> {
        self.segments[index >> self.segment_bits].get()?.get(index & self.segment_mask)
    }

    /// Where a tag's bucket is at present. Its cache lines are asked for, while the caller does
    /// something else.
    #[inline(always)]
    pub(super) fn spot(&self, tag: u64) -> Spot<'_> {
        self.spot_at(self.shape(), tag)
    }

    /// The same for a table of this shape.
    #[inline(always)]
    fn spot_at(&self, shape: Shape, tag: u64) -> Spot<'_> {
        let index = self.growth.home(shape, tag);
        let bucket = self.bucket(index);
        bucket.prefetch();
        Spot { shape, index, bucket }
    }

    /// Locks the bucket of a tag, wherever it is by now.
    #[inline(always)]
    fn lock<'a>(&'a self, tag: u64, spot: Spot<'a>) -> (usize, Guard<'a>) {
        let guard = spot.bucket.lock(&self.common);
        // Whoever moves keys publishes the new shape before it lets go of their buckets.
        if self.shape() == spot.shape {
            return (spot.index, guard);
        }
        self.lock_since_moved(tag, spot.index, guard)
    }

    /// The same where keys were moved since the bucket was found, though perhaps not this one. Not part of
    /// whoever locks: what a loop needs is put ready before it, and most never come here.
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

    /// The same for a step that goes from two words to two words and nothing else; `None` where there
    /// are none.
    #[inline(always)]
    pub(super) fn renew<R: Renewal>(&self, spot: Spot<'_>, now: u64, step: &R) -> Option<R::Outcome> {
        let seen = spot.bucket.look(step.tag());
        let (_, mut guard) = self.lock(step.tag(), spot);
        let mut slot = guard.find_at(seen, step.tag())?;
        let (outcome, kept) = step.renew(now, slot.words()?);
        match kept {
            Some(kept) => keep(slot, now, step, outcome, &kept),
            None => slot.press(REFUSED),
        }
        Some(outcome)
    }

    /// A step for a tag that is not known.
    #[cold]
    fn decide_new(&self, index: usize, mut guard: Guard<'_>, tag: u64, now: u64, step: impl Step) -> Verdict {
        let (verdict, inserted) = self.enter(index, &mut guard, tag, now, step);
        drop(guard);
        if inserted {
            self.tend(index, now);
        }
        verdict
    }

    pub(super) fn decide_batch(&self, op: Op, now: u64, hits: &[Hit<'_>], each: &mut SmallVec<[Verdict; 2]>) {
        if op != Op::Hit {
            each.extend(hits.iter().map(|hit| {
                let tag = hit.hash();
                self.decide_one(tag, self.spot(tag), op, now, |state: &mut State| hit.step(op, now, state))
            }));
            return;
        }
        each.resize(hits.len(), Verdict::default());
        let are_taken = match hits {
            [a, b] => {
                let both = self.renew_two(self.spots(a.hash(), b.hash()), now, *a, *b);
                both.map(|both| each.copy_from_slice(&both)).is_some()
            }
            _ => self.renew_few(now, hits, each),
        };
        if are_taken {
            return;
        }
        each.clear();
        let mut indices: SmallVec<[usize; 4]> = SmallVec::new();
        let mut guards: SmallVec<[Guard<'_>; 4]> = SmallVec::new();
        // Under whose guard each hit is.
        let places = loop {
            let shape = self.shape();
            let home = |hit: &Hit<'_>| self.growth.home(shape, hit.hash());
            indices.clear();
            indices.extend(hits.iter().map(home));
            few::sort_by_key(&mut indices, |index| *index);
            indices.dedup();
            guards.extend(indices.iter().map(|&index| self.bucket(index).lock(&self.common)));
            let shape = self.shape();
            let place = |hit: &Hit<'_>| indices.binary_search(&self.growth.home(shape, hit.hash())).ok();
            let places: Option<SmallVec<[usize; 4]>> = hits.iter().map(place).collect();
            if let Some(places) = places {
                break places;
            }
            guards.clear();
        };
        let mut inserted = None;
        for round in [Op::Check, Op::Hit] {
            if round == Op::Hit && !each.iter().all(|verdict| verdict.admitted) {
                break;
            }
            each.clear();
            for (hit, &place) in hits.iter().zip(&places) {
                let (verdict, new) = self.apply(indices[place], &mut guards[place], round, now, hit);
                if new {
                    inserted = Some(indices[place]);
                }
                each.push(verdict);
            }
        }
        drop(guards);
        if let Some(index) = inserted {
            self.tend(index, now);
        }
    }

    /// Where two tags' buckets are at present.
    #[inline(always)]
    pub(super) fn spots(&self, a: u64, b: u64) -> [Spot<'_>; 2] {
        let shape = self.shape();
        [self.spot_at(shape, a), self.spot_at(shape, b)]
    }

    /// Takes two steps as one, if their keys are there, of two words, and both have room: most of all batches.
    /// Otherwise both accounts are left as they were.
    #[inline(always)]
    pub(super) fn renew_two<R: Renewal + Copy>(
        &self,
        spots: [Spot<'_>; 2],
        now: u64,
        a: R,
        b: R,
    ) -> Option<[R::Outcome; 2]> {
        if spots[0].index == spots[1].index {
            return self.renew_beside(now, [a, b]);
        }
        match self.renew_pair(now, [&a, &b], spots) {
            // Keys that were not found may have been moved meanwhile.
            None if self.shape() != spots[0].shape => self.renew_beside(now, [a, b]),
            outcomes => outcomes,
        }
    }

    /// The same of two in one bucket.
    #[inline(never)]
    fn renew_beside<R: Renewal + Copy>(&self, now: u64, steps: [R; 2]) -> Option<[R::Outcome; 2]> {
        let mut outcomes = [R::Outcome::default(); 2];
        self.renew_few(now, &steps, &mut outcomes).then_some(outcomes)
    }

    /// The same of any number up to [`FEW`]; of more, none are taken. Says whether they were.
    #[inline(never)]
    pub(super) fn renew_few<R: Renewal>(&self, now: u64, steps: &[R], outcomes: &mut [R::Outcome]) -> bool {
        loop {
            let shape = self.shape();
            if self.renew_in(shape, now, steps, outcomes).is_some() {
                return true;
            }
            // Keys that were not found may have been moved meanwhile.
            if self.shape() == shape {
                return false;
            }
        }
    }

    /// The same for a table of this shape; `None` too if that has changed.
    fn renew_in<R: Renewal>(
        &self,
        shape: Shape,
        now: u64,
        steps: &[R],
        outcomes: &mut [R::Outcome],
    ) -> Option<()> {
        let mut order: [usize; FEW] = std::array::from_fn(|at| at);
        let order = order.get_mut(..steps.len())?;
        let mut spots = [self.spot_at(shape, steps.first()?.tag()); FEW];
        for (spot, step) in spots.iter_mut().zip(steps).skip(1) {
            *spot = self.spot_at(shape, step.tag());
        }
        few::sort_by_key(order, |&at| spots[at].index);
        // Whose guard a step is under: its own, or that of another in the same bucket.
        let mut holders = [0; FEW];
        let mut guards = [const { None }; FEW];
        let mut before = None;
        for &at in &*order {
            let holder =
                before.filter(|&before: &usize| spots[before].index == spots[at].index).unwrap_or(at);
            if holder == at {
                guards[at] = Some(spots[at].bucket.lock(&self.common));
            }
            holders[at] = holder;
            before = Some(holder);
        }
        if self.shape() != shape {
            return None;
        }
        let mut after = [Kept::default(); FEW];
        for (at, step) in steps.iter().enumerate() {
            let words = guards[holders[at]].as_mut()?.find(step.tag())?.words()?;
            let (outcome, kept) = step.renew(now, words);
            *outcomes.get_mut(at)? = outcome;
            after[at] = kept?;
        }
        // From here on nothing fails: each key was found a moment ago, under the lock that is held.
        for (at, (step, outcome)) in steps.iter().zip(&*outcomes).enumerate() {
            let slot = guards[holders[at]].as_mut().and_then(|guard| guard.find(step.tag()));
            debug_assert!(slot.is_some());
            if let Some(slot) = slot {
                keep(slot, now, step, *outcome, &after[at]);
            }
        }
        Some(())
    }

    /// Two steps in different buckets, while the table has the shape in which they were found.
    #[inline(always)]
    fn renew_pair<R: Renewal>(
        &self,
        now: u64,
        [a, b]: [&R; 2],
        [first, second]: [Spot<'_>; 2],
    ) -> Option<[R::Outcome; 2]> {
        let (seen_a, seen_b) = (first.bucket.look(a.tag()), second.bucket.look(b.tag()));
        let (mut guard_a, mut guard_b);
        if first.index < second.index {
            guard_a = first.bucket.lock(&self.common);
            guard_b = second.bucket.lock(&self.common);
        } else {
            guard_b = second.bucket.lock(&self.common);
            guard_a = first.bucket.lock(&self.common);
        }
        if self.shape() != first.shape {
            return None;
        }
        let (slot_a, slot_b) = (guard_a.find_at(seen_a, a.tag())?, guard_b.find_at(seen_b, b.tag())?);
        let (of_a, kept_a) = a.renew(now, slot_a.words()?);
        let (of_b, kept_b) = b.renew(now, slot_b.words()?);
        let (kept_a, kept_b) = (kept_a?, kept_b?);
        keep(slot_a, now, a, of_a, &kept_a);
        keep(slot_b, now, b, of_b, &kept_b);
        Some([of_a, of_b])
    }

    /// Takes one step under the bucket's lock; says whether a key was added.
    fn apply(&self, home: usize, guard: &mut Guard<'_>, op: Op, now: u64, hit: &Hit<'_>) -> (Verdict, bool) {
        let (tag, step) = (hit.hash(), |state: &mut State| hit.step(op, now, state));
        match guard.find(tag) {
            Some(slot) => (self.step(slot, op, now, step), false),
            None => self.enter(home, guard, tag, now, step),
        }
    }

    /// The step of a key that is there.
    #[inline]
    fn step(&self, mut slot: Slot<'_>, op: Op, now: u64, step: impl Step) -> Verdict {
        let mut state = slot.take_state();
        let verdict = step(&mut state);
        if state == State::Empty {
            slot.clear();
            self.count.fetch_sub(1, Ordering::Relaxed);
            return verdict;
        }
        let changed = verdict.admitted && op.changes();
        slot.put_state(state, changed.then(|| expiry(now, &verdict)), pressure(&verdict));
        verdict
    }

    /// The step of a key that is not there yet; says whether it was added.
    fn enter(
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
        let entry = self.common.entry(tag, state, expiry(now, &verdict), pressure(&verdict));
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

    /// Puts a key into a bucket. One that finds no room there, nor anywhere behind, is forgotten: there are
    /// as many numbers for nodes as no memory holds.
    fn put(&self, guard: &mut Guard<'_>, entry: Entry) {
        if !guard.insert(entry) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What an insertion owes the table: a look at one bucket for expired keys, and some growth if
    /// the buckets have become too full. Takes no lock while another is held.
    #[cold]
    fn tend(&self, index: usize, now: u64) {
        let shape = self.shape();
        let size = self.growth.size(shape);
        let hand = self.hand.fetch_add(1, Ordering::Relaxed) % size;
        let own = self.growth.number(shape, index);
        let hand = if hand == own { (hand + 1) % size } else { hand };
        self.sweep(self.growth.place(shape, hand), now);
        // One key more makes up for less than two buckets moved, so that growth keeps pace.
        for _ in 0..2 {
            if !is_crowded(self.len(), self.size()) {
                break;
            }
            self.grow();
        }
    }

    fn grow(&self) {
        // One at a time; whoever comes second leaves it to the first.
        let Some(_growing) = self.growing.try_lock() else { return };
        let Some(Move { shape, from, to }) = self.growth.next(self.shape()) else { return };
        let mut guard = self.bucket(from).lock(&self.common);
        // The lowest may go where they are.
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

/// Keeps what a step left behind in its key's slot.
#[inline(always)]
fn keep<R: Renewal>(mut slot: Slot<'_>, now: u64, step: &R, outcome: R::Outcome, kept: &Kept) {
    if !slot.renew(step.tag(), kept) {
        slot.widen(kept.words[0], kept.words[1], step.expiry(now, outcome, kept.words), kept.pressure);
    }
}

/// The last instant at which what a step left behind matters.
#[inline(always)]
fn expiry(now: u64, verdict: &Verdict) -> u64 {
    now.saturating_add(verdict.keep_for)
}
