//! Forgetting: expired keys first, then those nearest to a full account, a refused one last.

use std::sync::atomic::Ordering;

use super::bucket::{Guard, REFUSED};
use super::table::Table;

/// Buckets looked at before the best victim seen is taken.
const LOOK: usize = 8;
/// Buckets looked at before a refused key may be the victim.
const LOOK_FAR: usize = 64;

impl Table {
    /// Drops the expired keys of one bucket, unless somebody holds it.
    pub(super) fn sweep(&self, index: usize, second: u32) -> usize {
        self.bucket(index).try_lock().map_or(0, |mut guard| self.sweep_locked(&mut guard, second))
    }

    fn sweep_locked(&self, guard: &mut Guard<'_>, second: u32) -> usize {
        let (keys, nodes) = guard.retain(|_, expiry, _| expiry >= second);
        if keys > 0 {
            self.count.fetch_sub(keys, Ordering::Relaxed);
        }
        if nodes > 0 {
            self.nodes.fetch_sub(nodes, Ordering::Relaxed);
        }
        keys
    }

    pub(super) fn sweep_all(&self, now: u64) -> usize {
        let second = self.second(now);
        (0..self.size()).map(|index| self.sweep_locked(&mut self.bucket(index).lock(), second)).sum()
    }

    /// Drops at least one key to make room for another. The caller holds `own`; every other bucket
    /// is only tried, so that nobody can wait for each other in a ring.
    pub(super) fn make_room(&self, own: &mut Guard<'_>, second: u32) {
        let mut best: Option<(u8, u32, usize, u64)> = None;
        for step in 0..LOOK_FAR {
            let index = self.hand.fetch_add(1, Ordering::Relaxed) % self.size();
            let Some(mut guard) = self.bucket(index).try_lock() else { continue };
            if self.sweep_locked(&mut guard, second) > 0 {
                return;
            }
            guard.retain(|tag, expiry, pressure| {
                if best.is_none_or(|(least, earliest, ..)| (pressure, expiry) < (least, earliest)) {
                    best = Some((pressure, expiry, index, tag));
                }
                true
            });
            if step >= LOOK && best.is_some_and(|(pressure, ..)| pressure < REFUSED) {
                break;
            }
        }
        let dropped = best.is_some_and(|(_, _, index, victim)| {
            self.bucket(index).try_lock().is_some_and(|mut guard| self.drop_key(&mut guard, victim))
        });
        if !dropped {
            // Everybody else is busy: the mildest of our own bucket goes.
            let mut mildest: Option<(u8, u32, u64)> = None;
            own.retain(|tag, expiry, pressure| {
                if mildest.is_none_or(|(least, earliest, _)| (pressure, expiry) < (least, earliest)) {
                    mildest = Some((pressure, expiry, tag));
                }
                true
            });
            if let Some((_, _, victim)) = mildest {
                self.drop_key(own, victim);
            }
        }
    }

    fn drop_key(&self, guard: &mut Guard<'_>, victim: u64) -> bool {
        let (keys, nodes) = guard.retain(|tag, _, _| tag != victim);
        self.count.fetch_sub(keys, Ordering::Relaxed);
        self.nodes.fetch_sub(nodes, Ordering::Relaxed);
        keys > 0
    }
}
