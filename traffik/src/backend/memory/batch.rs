//! Steps on several keys at once, all or none.

use smallvec::SmallVec;

use super::bucket::{Bucket, Guard};
use super::growth::GrowthStage;
use super::new_state::NewState;
use super::step::{InPlaceStep, store};
use super::table::{LocatedBucket, Table};
use crate::backend::{Hit, Op, Verdict};
use crate::few;
use crate::strategy::State;

/// The most keys taken in one round. A handler with more throttles is rare.
pub(crate) const FEW: usize = 5;

/// The buckets of a batch, each locked once.
struct LockedBuckets<'a> {
    /// In ascending order.
    indices: SmallVec<[usize; 4]>,
    guards: SmallVec<[Guard<'a>; 4]>,
    /// The index of the guard that each hit is under.
    guard_of: SmallVec<[usize; 4]>,
}

impl Table {
    /// Decides several hits: all are charged, or none. Any other operation is applied to each.
    pub(super) fn decide_batch(&self, op: Op, now: u64, hits: &[Hit<'_>], each: &mut SmallVec<[Verdict; 2]>) {
        if op != Op::Hit {
            each.extend(hits.iter().map(|hit| {
                let tag = hit.hash();
                self.decide_one(tag, self.locate(tag), op, now, |state: &mut State| hit.step(op, now, state))
            }));
            return;
        }
        if self.hit_all_in_place(now, hits, each) {
            return;
        }
        let mut locked = self.lock_all(hits);
        let mut inserted = None;
        for round in [Op::Check, Op::Hit] {
            if round == Op::Hit && !each.iter().all(|verdict| verdict.admitted) {
                break;
            }
            each.clear();
            for (hit, &guard) in hits.iter().zip(&locked.guard_of) {
                let index = locked.indices[guard];
                let (verdict, is_new) = self.step_locked(index, &mut locked.guards[guard], round, now, hit);
                if is_new {
                    inserted = Some(index);
                }
                each.push(verdict);
            }
        }
        drop(locked);
        if let Some(index) = inserted {
            self.maintain(index, now);
        }
    }

    /// Charges all hits, if all pass and their keys exist. Returns whether it did.
    fn hit_all_in_place(&self, now: u64, hits: &[Hit<'_>], each: &mut SmallVec<[Verdict; 2]>) -> bool {
        each.resize(hits.len(), Verdict::default());
        match hits {
            [a, b] => {
                let located = self.locate_each([a.hash(), b.hash()]);
                let both = self.step_each_in_place(located, now, [*a, *b]);
                both.map(|both| each.copy_from_slice(&both)).is_some()
            }
            _ => self.step_few_in_place(now, hits, each),
        }
    }

    fn lock_all(&self, hits: &[Hit<'_>]) -> LockedBuckets<'_> {
        loop {
            let stage = self.stage();
            let mut indices: SmallVec<[usize; 4]> =
                hits.iter().map(|hit| self.growth.home_bucket(stage, hit.hash())).collect();
            few::sort_by_key(&mut indices, |index| *index);
            indices.dedup();
            let guards = indices.iter().map(|&index| self.bucket(index).lock(&self.common)).collect();
            // Keys may have been moved before their buckets were locked.
            let stage = self.stage();
            let guard_of =
                |hit: &Hit<'_>| indices.binary_search(&self.growth.home_bucket(stage, hit.hash())).ok();
            if let Some(guard_of) = hits.iter().map(guard_of).collect() {
                return LockedBuckets { indices, guards, guard_of };
            }
        }
    }

    /// Returns the current buckets of a few tags.
    #[inline(always)]
    pub(super) fn locate_each<const N: usize>(&self, tags: [u64; N]) -> [LocatedBucket<'_>; N] {
        let stage = self.stage();
        let mut located = [self.locate_at(stage, tags[0]); N];
        for at in 1..N {
            located[at] = self.locate_at(stage, tags[at]);
        }
        located
    }

    /// Takes steps as one, if all keys exist with states of two words, and all have room: the most common batch.
    /// Otherwise leaves all accounts as they were.
    ///
    /// How many they are is known when it is compiled, so that its loops are unrolled, and most of it stays in
    /// registers.
    #[inline(always)]
    pub(super) fn step_each_in_place<S: InPlaceStep + Copy, const N: usize>(
        &self,
        located: [LocatedBucket<'_>; N],
        now: u64,
        steps: [S; N],
    ) -> Option<[S::Outcome; N]> {
        // Before the locks, so that all buckets are fetched at once, and without branches that depend on what they hold.
        let (mut hints, mut buckets) = ([0; N], [(0, located[0].bucket); N]);
        for at in 0..N {
            let LocatedBucket { index, bucket, .. } = located[at];
            hints[at] = bucket.probe(steps[at].tag());
            buckets[at] = (index, bucket);
        }
        let Some(mut guards) = Bucket::lock_each(buckets, &self.common) else {
            return self.step_listed_in_place(now, steps);
        };
        if self.stage() != located[0].stage {
            // Keys may have been moved meanwhile.
            drop(guards);
            return self.step_listed_in_place(now, steps);
        }
        let mut slots = [const { None }; N];
        for (at, (slot, guard)) in slots.iter_mut().zip(&mut guards).enumerate() {
            *slot = Some(guard.find_at(hints[at], steps[at].tag())?);
        }
        let (mut outcomes, mut after) = ([S::Outcome::default(); N], [NewState::default(); N]);
        for at in 0..N {
            let (outcome, new) = steps[at].apply(now, slots[at].as_ref()?.words()?);
            outcomes[at] = outcome;
            after[at] = new?;
        }
        for (at, slot) in slots.into_iter().enumerate() {
            if let Some(slot) = slot {
                store(slot, now, &steps[at], outcomes[at], &after[at]);
            }
        }
        Some(outcomes)
    }

    /// The same where two keys share a bucket, or the table has changed.
    #[inline(never)]
    fn step_listed_in_place<S: InPlaceStep + Copy, const N: usize>(
        &self,
        now: u64,
        steps: [S; N],
    ) -> Option<[S::Outcome; N]> {
        let mut outcomes = [S::Outcome::default(); N];
        self.step_few_in_place(now, &steps, &mut outcomes).then_some(outcomes)
    }

    /// The same for any number up to [`FEW`]; of more, none are taken. Returns whether they were.
    #[inline(never)]
    pub(super) fn step_few_in_place<S: InPlaceStep>(
        &self,
        now: u64,
        steps: &[S],
        outcomes: &mut [S::Outcome],
    ) -> bool {
        loop {
            let stage = self.stage();
            if self.try_step_few(stage, now, steps, outcomes).is_some() {
                return true;
            }
            // Keys that were not found may have been moved meanwhile.
            if self.stage() == stage {
                return false;
            }
        }
    }

    /// The same for a table at this stage; also `None` if the stage has changed.
    fn try_step_few<S: InPlaceStep>(
        &self,
        stage: GrowthStage,
        now: u64,
        steps: &[S],
        outcomes: &mut [S::Outcome],
    ) -> Option<()> {
        let mut order: [usize; FEW] = std::array::from_fn(|at| at);
        let order = order.get_mut(..steps.len())?;
        let mut located = [self.locate_at(stage, steps.first()?.tag()); FEW];
        for (located, step) in located.iter_mut().zip(steps).skip(1) {
            *located = self.locate_at(stage, step.tag());
        }
        // Before the locks, so that all buckets are fetched at once, and without branches that depend on what they hold.
        let mut hints = [0; FEW];
        for (hint, (located, step)) in hints.iter_mut().zip(located.iter().zip(steps)) {
            *hint = located.bucket.probe(step.tag());
        }
        few::sort_by_key(order, |&at| located[at].index);
        // Which guard a step is under: its own, or that of another step in the same bucket.
        let mut holders = [0; FEW];
        let mut guards = [const { None }; FEW];
        let mut before = None;
        for &at in &*order {
            let holder =
                before.filter(|&before: &usize| located[before].index == located[at].index).unwrap_or(at);
            if holder == at {
                guards[at] = Some(located[at].bucket.lock(&self.common));
            }
            holders[at] = holder;
            before = Some(holder);
        }
        if self.stage() != stage {
            return None;
        }
        let mut after = [NewState::default(); FEW];
        for (at, step) in steps.iter().enumerate() {
            let words = guards[holders[at]].as_mut()?.find_at(hints[at], step.tag())?.words()?;
            let (outcome, new) = step.apply(now, words);
            *outcomes.get_mut(at)? = outcome;
            after[at] = new?;
        }
        // Nothing can fail from here on: each key was found a moment ago, under the lock that is still held.
        for (at, (step, outcome)) in steps.iter().zip(&*outcomes).enumerate() {
            let slot = guards[holders[at]].as_mut().and_then(|guard| guard.find_at(hints[at], step.tag()));
            debug_assert!(slot.is_some());
            if let Some(slot) = slot {
                store(slot, now, step, *outcome, &after[at]);
            }
        }
        Some(())
    }

    /// Takes one step under the bucket's lock; returns whether a key was added.
    fn step_locked(
        &self,
        home: usize,
        guard: &mut Guard<'_>,
        op: Op,
        now: u64,
        hit: &Hit<'_>,
    ) -> (Verdict, bool) {
        let (tag, step) = (hit.hash(), |state: &mut State| hit.step(op, now, state));
        match guard.find(tag) {
            Some(slot) => (self.step(slot, op, now, step), false),
            None => self.step_new(home, guard, tag, now, step),
        }
    }
}
