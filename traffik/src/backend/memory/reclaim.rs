//! Eviction: expired keys first, then those nearest to a full account, and refused keys last.
//!
//! A client that has refused keys enough to fill a whole part of the table can make up more, and some refused key has
//! to go for each of them. It is the one that arrived last in its bucket and expires at about the same time as the new
//! key: in a flood, that is a key of the flood, whether its limits are longer or shorter than those of other clients.

use std::cmp::Ordering;

use super::bucket::{Guard, KeySummary};
use super::load::SEARCHED_BUCKETS;
use super::packed_state::REFUSED;
use super::sync::Ordering::{Acquire, Relaxed, Release};
use super::table::Table;

/// Keys examined before the best candidate so far is evicted.
const EXAMINED: usize = 32;
/// Keys examined before a refused key may be evicted.
const EXAMINED_IF_REFUSED: usize = 256;

impl Table {
    /// Drops the expired keys of one bucket, unless it is locked.
    pub(super) fn sweep(&self, index: usize, now: u64) {
        if let Some(mut guard) = self.allocated(index).and_then(|bucket| bucket.try_lock(&self.common)) {
            self.sweep_locked(&mut guard, now);
        }
    }

    fn sweep_locked(&self, guard: &mut Guard<'_>, now: u64) -> usize {
        self.drop_keys(guard, |key| key.expiry < now)
    }

    pub(super) fn sweep_all(&self, now: u64) -> usize {
        self.all_allocated().map(|bucket| self.sweep_locked(&mut bucket.lock(&self.common), now)).sum()
    }

    /// Drops at least one key to make room for another, which expires at `expiry`, in bucket `home`, which the caller
    /// has locked as `own`. Returns whether there was one to drop. Every other bucket is only tried, so that threads
    /// cannot wait for each other in a cycle.
    ///
    /// The search begins where the new key goes in. Keys thus leave each part of the table as fast as they arrive
    /// there, and no part runs empty while another overflows.
    pub(super) fn make_room(
        &self,
        home: usize,
        own: &mut Guard<'_>,
        now: u64,
        expiry: u64,
        held: usize,
    ) -> bool {
        let stage = self.stage();
        let (size, own_number) = (self.growth.size(stage), self.growth.position_of(stage, home));
        let mut search = Search::new(now, expiry);
        search.examine(home, own);
        for step in 1..size.min(SEARCHED_BUCKETS) {
            if search.is_enough(held) {
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
                return true;
            }
            search.examine(index, &mut guard);
        }
        let Some(Candidate { bucket, tag, .. }) = search.best else { return false };
        if bucket == home {
            return self.drop_key(own, tag);
        }
        if self.bucket(bucket).try_lock(&self.common).is_some_and(|mut guard| self.drop_key(&mut guard, tag))
        {
            return true;
        }
        // The candidate's bucket is in use at this moment: evict the best candidate of our own bucket instead.
        let mut search = Search::new(now, expiry);
        search.examine(home, own);
        search.best.is_some_and(|best| self.drop_key(own, best.tag))
    }

    /// Evicts the keys that the table holds beyond its capacity because there was none to evict when they arrived:
    /// those of a batch are inserted under the locks of all of them.
    pub(super) fn evict_surplus(&self, index: usize, now: u64) {
        while self.take_surplus() {
            let mut guard = self.bucket(index).lock(&self.common);
            if self.sweep_locked(&mut guard, now) == 0
                && !self.make_room(index, &mut guard, now, now, self.len())
            {
                self.surplus.fetch_add(1, Release);
                break;
            }
        }
    }

    /// Takes a key off the surplus; returns whether one has to be evicted for it. None has to if enough keys have
    /// expired since.
    fn take_surplus(&self) -> bool {
        let mut beyond = 0;
        let without_one = |surplus: usize| {
            // Whoever adds to the surplus has counted its key before, so a surplus that includes it is read together
            // with a count that does.
            beyond = self.len().saturating_sub(self.capacity());
            (surplus > 0).then(|| surplus.min(beyond).saturating_sub(1))
        };
        self.surplus.fetch_update(Relaxed, Acquire, without_one).is_ok() && beyond > 0
    }

    fn drop_key(&self, guard: &mut Guard<'_>, tag: u64) -> bool {
        self.drop_keys(guard, |key| key.tag == tag) > 0
    }

    /// Drops the keys of a bucket for which `drops` returns `true`, and returns how many those were.
    fn drop_keys(&self, guard: &mut Guard<'_>, drops: impl Fn(&KeySummary) -> bool) -> usize {
        let keys = guard.remove(drops);
        if keys > 0 {
            self.count.fetch_sub(keys, Relaxed);
        }
        keys
    }
}

/// The search for a key to evict.
struct Search {
    /// When the new key expires, and what difference is none.
    expiry: u64,
    tolerance: u64,
    best: Option<Candidate>,
    /// How many keys tied with the best.
    ties: u64,
    examined: usize,
}

struct Candidate {
    order: EvictionOrder,
    bucket: usize,
    tag: u64,
}

/// What is lowest is evicted first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct EvictionOrder {
    rank: u8,
    /// Of refused keys, those that others have followed into their bucket go last.
    is_followed: bool,
    /// Of refused keys, how far their expiry is from the new key's; of others, their expiry.
    time: u64,
}

impl Search {
    fn new(now: u64, expiry: u64) -> Self {
        Self { expiry, tolerance: expiry.saturating_sub(now) / 4, best: None, ties: 0, examined: 0 }
    }

    fn order(&self, key: &KeySummary) -> EvictionOrder {
        let refused = key.rank == REFUSED;
        let distance = || key.expiry.abs_diff(self.expiry).max(self.tolerance);
        EvictionOrder {
            rank: key.rank,
            is_followed: refused && !key.is_newest,
            time: if refused { distance() } else { key.expiry },
        }
    }

    fn examine(&mut self, bucket: usize, guard: &mut Guard<'_>) {
        for key in guard.summaries() {
            self.examined += 1;
            let order = self.order(&key);
            let compared = self.best.as_ref().map_or(Ordering::Less, |best| order.cmp(&best.order));
            self.ties = if compared.is_lt() { 1 } else { self.ties + u64::from(compared.is_eq()) };
            // Of refused keys without a follower, the nearest goes: if it is in the new key's own bucket, the number
            // of such keys stays the same. All other ties are equally likely to win: a tag's low bits, which a bucket's
            // keys do not have in common, are as random as a die.
            let wins_tie = || (order.rank < REFUSED || order.is_followed) && key.tag % self.ties == 0;
            if compared.is_lt() || (compared.is_eq() && wins_tie()) {
                self.best = Some(Candidate { order, bucket, tag: key.tag });
            }
        }
    }

    /// Whether enough keys have been examined, of all that the table holds: a small table is mostly empty.
    fn is_enough(&self, held: usize) -> bool {
        let is_mild = self.best.as_ref().is_some_and(|best| best.order.rank < REFUSED);
        self.examined >= held.min(if is_mild { EXAMINED } else { EXAMINED_IF_REFUSED })
    }
}
