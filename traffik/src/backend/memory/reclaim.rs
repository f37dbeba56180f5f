//! Eviction: expired keys first, then those nearest to a full account. Refused keys go last, and the newest of them
//! first, so that a client that floods the store with its own keys evicts those.

use std::cmp::Ordering;

use super::bucket::Guard;
use super::load::SEARCHED_BUCKETS;
use super::packed_state::REFUSED;
use super::sync::Ordering::Relaxed;
use super::table::Table;

/// Keys examined before the best candidate so far is evicted.
const EXAMINED: usize = 32;
/// Keys examined before a refused key may be evicted.
const EXAMINED_IF_REFUSED: usize = 256;

impl Table {
    /// Drops the expired keys of one bucket, unless it is locked.
    pub(super) fn sweep(&self, index: usize, now: u64) -> usize {
        let guard = self.allocated(index).and_then(|bucket| bucket.try_lock(&self.common));
        guard.map_or(0, |mut guard| self.sweep_locked(&mut guard, now))
    }

    fn sweep_locked(&self, guard: &mut Guard<'_>, now: u64) -> usize {
        let keys = guard.retain(|_, expiry, _| expiry >= now);
        if keys > 0 {
            self.count.fetch_sub(keys, Relaxed);
        }
        keys
    }

    pub(super) fn sweep_all(&self, now: u64) -> usize {
        // All that there may ever be, because the table may grow meanwhile.
        let allocated = (0..self.growth.max_buckets()).filter_map(|index| self.allocated(index));
        allocated.map(|bucket| self.sweep_locked(&mut bucket.lock(&self.common), now)).sum()
    }

    /// Drops at least one key to make room for another in bucket `home`, which the caller has locked as `own`. Every
    /// other bucket is only tried, so that threads cannot wait for each other in a cycle.
    ///
    /// The search begins where the new key goes in. Keys thus leave each part of the table as fast as they arrive
    /// there, and no part runs empty while another overflows.
    pub(super) fn make_room(&self, home: usize, own: &mut Guard<'_>, now: u64, held: usize) {
        let stage = self.stage();
        let (size, own_number) = (self.growth.size(stage), self.growth.position_of(stage, home));
        let mut best = EvictionCandidate::default();
        if self.sweep_locked(own, now) > 0 {
            return;
        }
        best.consider(home, own);
        // All keys held, if there are fewer: a small table is mostly empty.
        let (near, far) = (EXAMINED.min(held), EXAMINED_IF_REFUSED.min(held));
        for step in 1..size.min(SEARCHED_BUCKETS) {
            let is_mild = best.key.is_some_and(|(rank, ..)| rank < REFUSED);
            if best.examined >= far || is_mild && best.examined >= near {
                break;
            }
            // One to the right, one to the left, two to the right.
            let away = if step % 2 == 1 { step.div_ceil(2) } else { size - step / 2 };
            let index = self.growth.nth_bucket(stage, (own_number + away) % size);
            let Some(mut guard) = self.allocated(index).and_then(|bucket| bucket.try_lock(&self.common))
            else {
                continue;
            };
            if self.sweep_locked(&mut guard, now) > 0 {
                return;
            }
            best.consider(index, &mut guard);
        }
        let Some((.., index, tag)) = best.key else { return };
        let dropped = if index == home {
            self.drop_key(own, tag)
        } else {
            self.bucket(index).try_lock(&self.common).is_some_and(|mut guard| self.drop_key(&mut guard, tag))
        };
        if !dropped {
            // The candidate's bucket is in use at this moment: evict the mildest key of our own bucket instead.
            let mut mildest = EvictionCandidate::default();
            mildest.consider(home, own);
            if let Some((.., evicted)) = mildest.key {
                self.drop_key(own, evicted);
            }
        }
    }

    /// Drops one key of a bucket.
    fn drop_key(&self, guard: &mut Guard<'_>, evicted: u64) -> bool {
        let keys = guard.retain(|tag, _, _| tag != evicted);
        self.count.fetch_sub(keys, Relaxed);
        keys > 0
    }
}

/// The key to drop: the one nearest to a full account, and among those the first to expire; among refused ones, the
/// last.
#[derive(Default)]
struct EvictionCandidate {
    /// Rank, order among those of equal rank, bucket and tag.
    key: Option<(u8, u64, usize, u64)>,
    /// How many keys tied with it.
    ties: u64,
    /// How many keys were examined.
    examined: usize,
}

impl EvictionCandidate {
    fn consider(&mut self, index: usize, guard: &mut Guard<'_>) {
        guard.retain(|tag, expiry, rank| {
            self.examined += 1;
            let tie_break = if rank < REFUSED { expiry } else { u64::MAX - expiry };
            let order =
                self.key.map_or(Ordering::Less, |(least, first, ..)| (rank, tie_break).cmp(&(least, first)));
            self.ties = if order.is_lt() { 1 } else { self.ties + u64::from(order.is_eq()) };
            // All ties are equally likely to win: a tag's low bits, which a bucket's keys do not have in common, are
            // as random as a die.
            if order.is_lt() || (order.is_eq() && tag % self.ties == 0) {
                self.key = Some((rank, tie_break, index, tag));
            }
            true
        });
    }
}
