//! [`KeyLocks`]: locks under which the calls of this process change a key by compare-and-swap.
//!
//! Of many calls that have read the same state, only one can store its result; the others would have to start again,
//! all at once. So they take turns, and contend only with other processes.
//!
//! The turns only save work; the swap is what makes a change exact. So a call that is not getting anywhere, as when its
//! future is not polled, does not hold up the others.

use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

/// Keys that share a stripe wait for each other needlessly, so there are many stripes, of 50 bytes each.
const STRIPES: u64 = 1024;

/// Locks on keys, in stripes. They are allocated when a key is first locked: most backends never swap anything.
#[derive(Default)]
pub(super) struct KeyLocks(OnceLock<Stripes>);

struct Stripes {
    born: Instant,
    all: Box<[Stripe]>,
}

#[derive(Default)]
struct Stripe {
    mutex: Mutex<()>,
    /// When the store last answered a holder of the lock, in microseconds since the stripes were created.
    answered_at: AtomicU64,
}

/// Locks on some keys, until dropped, except those that have to do without.
pub(super) struct KeyLockGuard<'a> {
    stripes: &'a Stripes,
    taken: SmallVec<[(&'a Stripe, MutexGuard<'a, ()>); 2]>,
}

/// How long to wait for locks.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    /// Until when, if there is an end.
    pub(super) until: Option<Instant>,
    /// For how long the calls ahead may go unanswered.
    pub(super) patience: Duration,
}

enum Locking<'a> {
    Locked(MutexGuard<'a, ()>),
    /// The calls ahead went unanswered for too long: the store is silent, or nobody polls the one with the lock.
    Stuck,
    /// Calls ahead are being answered, but there are too many.
    Late,
}

impl Stripes {
    fn new() -> Self {
        Self { born: Instant::now(), all: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }

    fn micros_at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.born).as_micros()).unwrap_or(u64::MAX)
    }

    async fn lock<'a>(&self, stripe: &'a Stripe, Wait { until, patience }: Wait) -> Locking<'a> {
        let from = Instant::now();
        let mut locking = pin!(stripe.mutex.lock());
        let mut stuck_at = from + patience;
        loop {
            let look_at = until.map_or(stuck_at, |until| until.min(stuck_at));
            if let Ok(guard) = timeout_at(look_at, locking.as_mut()).await {
                return Locking::Locked(guard);
            }
            let answered = self.born + Duration::from_micros(stripe.answered_at.load(Ordering::Relaxed));
            stuck_at = answered.max(from) + patience;
            if look_at >= stuck_at {
                return Locking::Stuck;
            }
            if until == Some(look_at) {
                // If there was no answer in the second half of the wait, the store may have gone silent: an outage, which
                // the caller's deadline tells of.
                let is_alive = answered >= from + look_at.saturating_duration_since(from) / 2;
                return if is_alive { Locking::Late } else { Locking::Locked(locking.await) };
            }
        }
    }
}

impl KeyLocks {
    /// Locks the keys with these hashes. Returns `None` if it cannot in time, although calls ahead of this one are being
    /// answered. A lock behind which nobody is answered is left out.
    pub(super) async fn lock(
        &self,
        hashes: impl Iterator<Item = u64>,
        wait: Wait,
    ) -> Option<KeyLockGuard<'_>> {
        let stripes = self.0.get_or_init(Stripes::new);
        // In the same order everywhere, and without duplicates, so that calls cannot wait for each other in a cycle.
        let mut places: SmallVec<[u64; 2]> = hashes.map(|hash| hash % STRIPES).collect();
        places.sort_unstable();
        places.dedup();
        let mut taken = SmallVec::new();
        for place in places {
            // The remainder is below the number of stripes.
            let stripe = &stripes.all[place as usize];
            match stripes.lock(stripe, wait).await {
                Locking::Locked(guard) => taken.push((stripe, guard)),
                Locking::Stuck => {}
                Locking::Late => return None,
            }
        }
        Some(KeyLockGuard { stripes, taken })
    }
}

impl KeyLockGuard<'_> {
    /// Records that the store has answered.
    pub(super) fn answered(&self) {
        let now = self.stripes.micros_at(Instant::now());
        for (stripe, _) in &self.taken {
            stripe.answered_at.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(90);
    const LATER: Duration = Duration::from_secs(9);

    async fn lock(locks: &KeyLocks, hashes: impl IntoIterator<Item = u64>) -> Option<KeyLockGuard<'_>> {
        let wait = Wait { until: Instant::now().checked_add(SOON), patience: SOON / 2 };
        locks.lock(hashes.into_iter(), wait).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_behind_answers_gives_up_and_who_waits_behind_silence_goes_on() {
        let locks = KeyLocks::default();
        let first = lock(&locks, [7]).await.unwrap();
        assert!(lock(&locks, [8]).await.is_some(), "another key");
        let answer_often = async {
            for _ in 0..8 {
                tokio::time::sleep(SOON / 9).await;
                first.answered();
            }
        };
        let (second, ()) = tokio::join!(lock(&locks, [7]), answer_often);
        assert!(second.is_none(), "others were answered all the while");
        let answer_once = async {
            tokio::time::sleep(SOON / 9).await;
            first.answered();
        };
        let began = Instant::now();
        let (third, ()) = tokio::join!(lock(&locks, [7]), answer_once);
        assert!(third.is_some_and(|third| third.taken.is_empty()), "then the store went silent");
        assert_eq!(began.elapsed(), SOON / 9 + SOON / 2);
        let began = Instant::now();
        let fourth = lock(&locks, [7, 8]).await;
        assert!(fourth.is_some_and(|fourth| fourth.taken.len() == 1), "nobody was answered");
        assert_eq!(began.elapsed(), SOON / 2);
        let late = Wait { until: Instant::now().checked_add(SOON), patience: LATER };
        let silence = tokio::time::timeout(LATER, locks.lock(std::iter::once(7), late)).await;
        assert!(silence.is_err(), "too late to tell: the caller's deadline says what it is");
        let unbounded = locks.lock(std::iter::once(7), Wait { until: None, patience: LATER }).await;
        assert!(unbounded.is_some_and(|unbounded| unbounded.taken.is_empty()));
        drop(first);
        assert!(lock(&locks, [7]).await.is_some(), "whoever went away holds nothing up");
    }

    #[tokio::test(start_paused = true)]
    async fn locks_on_several_keys_are_released() {
        let locks = KeyLocks::default();
        // The same stripe twice, and either order.
        let (one, other) = ([3, 5, 3 + STRIPES], [5, 3, 5]);
        let hold = async |hashes| {
            let wait = Wait { until: None, patience: LATER };
            let guard = locks.lock(IntoIterator::into_iter(hashes), wait).await.unwrap();
            assert!(!guard.taken.is_empty());
            tokio::time::sleep(SOON).await;
            drop(guard);
        };
        let all = async { tokio::join!(hold(one), hold(other), hold(one), hold(other)) };
        tokio::time::timeout(LATER, all).await.unwrap();
    }
}
