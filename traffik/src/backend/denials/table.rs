//! [`Denials`]: a bounded table of refusals, in small sets that are locked one at a time.
//!
//! Nothing is ever answered from it that a change has made doubtful. Each set counts the changes of
//! its accounts; what a call returned is kept only if there was no change while it was in flight.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{BackendError, Hit, Op, Verdict, Verdicts};
use crate::clock::Clock;
use crate::identity::Priority;
use crate::rate::Rate;
use crate::strategy::Strategy;

/// Accounts per set.
const WAYS: usize = 8;
/// The most accounts. Their sets are allocated up front, at 5 bytes per account.
const MOST: usize = 1 << 24;
/// Costs remembered per account.
const COSTS: usize = 4;

pub(crate) struct Denials {
    sets: Box<[Mutex<Set>]>,
    /// Accounts that a set may hold.
    ways: usize,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Set {
    /// Counts how often accounts were forgotten.
    changes: u64,
    memos: Vec<AccountMemo>,
}

/// What the backend said about one account.
struct AccountMemo {
    hash: u64,
    rate: Rate,
    /// Kept alive, so that its address remains its own.
    strategy: Arc<dyn Strategy>,
    tier: Option<Box<str>>,
    priority: Priority,
    verdicts: Vec<CachedVerdict>,
}

/// What the backend said about one cost. It may be an admission, if another hit of the batch was
/// refused.
#[derive(Clone, Copy)]
struct CachedVerdict {
    cost: u64,
    verdict: Verdict,
    /// The instant of the decision, by the store's clock.
    decided_at: u64,
    /// The instant after the call, by our clock. The decision is no later, so a wait counted from here is never too
    /// short.
    answered_at: u64,
    /// The instant until which it certainly holds, by our clock: the decision is no earlier than the call.
    until: u64,
}

/// A question that the table could not answer, so that it has to go to the backend.
struct PendingLookup {
    asked_at: u64,
    /// The change count of each hit's set at that time.
    changes: Vec<u64>,
}

impl Denials {
    pub(crate) fn new(clients: usize, clock: Arc<dyn Clock>) -> Self {
        let clients = clients.clamp(1, MOST);
        let sets = (0..(clients / WAYS).max(1)).map(|_| Mutex::default()).collect();
        Self { sets, ways: WAYS.min(clients), clock }
    }

    /// Creates a table, unless it is to hold nobody. Waits are measured by the system clock by
    /// default.
    #[cfg(feature = "redis")]
    pub(crate) fn if_enabled(clients: usize, clock: Option<Arc<dyn Clock>>) -> Option<Self> {
        let clock = || clock.unwrap_or_else(|| Arc::new(crate::clock::SystemClock));
        (clients > 0).then(|| Self::new(clients, clock()))
    }

    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(|set| lock(set).memos.len()).sum()
    }

    /// Answers from the table if possible; otherwise makes the call and learns from it.
    pub(crate) async fn ask(
        &self,
        op: Op,
        hits: &[Hit<'_>],
        call: impl Future<Output = Result<Verdicts, BackendError>>,
    ) -> Result<Verdicts, BackendError> {
        if matches!(op, Op::Refund { .. } | Op::Settle { .. } | Op::Reset) {
            // Even if the call fails or its caller goes away: it may have been carried out.
            let _forget = Forget { denials: self, hits };
            return call.await;
        }
        let pending = match self.answer(hits) {
            Ok(verdicts) => return Ok(verdicts),
            Err(pending) => pending,
        };
        let verdicts = call.await?;
        if !verdicts.admitted() {
            self.learn(hits, &verdicts, &pending);
        } else if op == Op::Hit {
            self.forget(hits);
        }
        Ok(verdicts)
    }

    /// Returns the answer to a hit or a check, if the table has it.
    pub(crate) fn recall(&self, op: Op, hits: &[Hit<'_>]) -> Option<Verdicts> {
        if matches!(op, Op::Hit | Op::Check) { self.answer(hits).ok() } else { None }
    }

    /// Locks the set of a key. Keep memos that are taken out of it until the lock is released: if nobody else holds a
    /// memo's strategy any more, it is dropped with the memo, and its destructor may call back into the table.
    fn set(&self, hash: u64) -> MutexGuard<'_, Set> {
        // The remainder is below the number of sets, which is not 0.
        lock(&self.sets[(hash % self.sets.len() as u64) as usize])
    }

    fn answer(&self, hits: &[Hit<'_>]) -> Result<Verdicts, PendingLookup> {
        let now = self.clock.now();
        let mut pending = PendingLookup { asked_at: now, changes: Vec::new() };
        let mut verdicts = Verdicts::default();
        for hit in hits {
            let set = self.set(hit.hash());
            pending.changes.push(set.changes);
            if let Some(cached) = set.memos.iter().find_map(|memo| memo.verdict_for(hit, now)) {
                verdicts.now = cached.decided_at.saturating_add(now.saturating_sub(cached.answered_at));
                verdicts.each.push(cached.verdict_at(now));
            }
        }
        if verdicts.each.len() == hits.len() && !verdicts.admitted() { Ok(verdicts) } else { Err(pending) }
    }

    fn learn(&self, hits: &[Hit<'_>], verdicts: &Verdicts, pending: &PendingLookup) {
        if !hits.iter().all(|hit| hit.policy.strategy().refusals_stand()) {
            return;
        }
        let waits = || verdicts.each.iter().filter(|verdict| !verdict.admitted).map(|verdict| verdict.wait);
        // For a cost that can never pass, there is no instant until which this holds.
        let Some(wait) = waits().min().filter(|_| waits().all(|wait| wait != Verdict::NEVER)) else {
            return;
        };
        let answered_at = self.clock.now();
        for ((hit, verdict), changes) in hits.iter().zip(&verdicts.each).zip(&pending.changes) {
            // By the time that the others' refusal is repeated, this one might refuse as well.
            if verdict.admitted && !hit.policy.strategy().room_stands() {
                continue;
            }
            let wait = if verdict.admitted { wait } else { verdict.wait };
            let until = pending.asked_at.saturating_add(wait);
            let cached = CachedVerdict {
                cost: hit.cost(),
                verdict: *verdict,
                decided_at: verdicts.now,
                answered_at,
                until,
            };
            let _displaced: Option<AccountMemo>;
            let mut set = self.set(hit.hash());
            if set.changes == *changes {
                _displaced = set.learn(hit, cached, self.ways);
            }
        }
    }

    pub(crate) fn forget(&self, hits: &[Hit<'_>]) {
        for hit in hits {
            let _forgotten: Option<AccountMemo>;
            let mut set = self.set(hit.hash());
            set.changes = set.changes.wrapping_add(1);
            let place = set.memos.iter().position(|memo| memo.hash == hit.hash());
            _forgotten = place.map(|place| set.memos.remove(place));
        }
    }
}

fn lock(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    // A set is consistent between any two statements that change it.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Set {
    /// Adds what the backend said. Returns the memo that had to go for it, if any.
    fn learn(&mut self, hit: &Hit<'_>, cached: CachedVerdict, ways: usize) -> Option<AccountMemo> {
        let displaced = if let Some(memo) = self.memos.iter_mut().find(|memo| memo.hash == hit.hash()) {
            if memo.matches(hit) {
                memo.add(cached);
                return None;
            }
            Some(memo)
        } else if self.memos.len() < ways {
            self.memos.push(AccountMemo::new(hit, cached));
            None
        } else {
            // The one whose wait is over, or else will be over soonest.
            self.memos.iter_mut().min_by_key(|memo| memo.until())
        };
        displaced.map(|memo| std::mem::replace(memo, AccountMemo::new(hit, cached)))
    }
}

impl AccountMemo {
    fn new(hit: &Hit<'_>, cached: CachedVerdict) -> Self {
        Self {
            hash: hit.hash(),
            rate: *hit.policy().rate(),
            strategy: hit.policy().shared_strategy().clone(),
            tier: hit.who().tier().map(Into::into),
            priority: hit.who().priority(),
            verdicts: vec![cached],
        }
    }

    /// Whether this is about the hit's account, counted in the same way.
    fn matches(&self, hit: &Hit<'_>) -> bool {
        let (policy, who) = (hit.policy(), hit.who());
        self.hash == hit.hash()
            && self.rate == *policy.rate()
            && Arc::ptr_eq(&self.strategy, policy.shared_strategy())
            && self.tier.as_deref() == who.tier()
            && self.priority == who.priority()
    }

    /// Returns what still holds for this hit.
    fn verdict_for(&self, hit: &Hit<'_>, now: u64) -> Option<CachedVerdict> {
        if !self.matches(hit) {
            return None;
        }
        self.verdicts.iter().find(|cached| cached.cost == hit.cost() && cached.until > now).copied()
    }

    fn add(&mut self, cached: CachedVerdict) {
        if let Some(known) = self.verdicts.iter_mut().find(|known| known.cost == cached.cost) {
            *known = cached;
        } else if self.verdicts.len() < COSTS {
            self.verdicts.push(cached);
        } else if let Some(soonest) = self.verdicts.iter_mut().min_by_key(|cached| cached.until) {
            *soonest = cached;
        }
    }

    fn until(&self) -> u64 {
        self.verdicts.iter().map(|cached| cached.until).max().unwrap_or(0)
    }
}

impl CachedVerdict {
    /// Returns the verdict as of a later instant.
    fn verdict_at(&self, now: u64) -> Verdict {
        let passed = now.saturating_sub(self.answered_at);
        Verdict {
            wait: self.verdict.wait.saturating_sub(passed),
            reset_after: self.verdict.reset_after.saturating_sub(passed),
            keep_for: self.verdict.keep_for.saturating_sub(passed),
            ..self.verdict
        }
    }
}

/// Forgets accounts when dropped.
struct Forget<'a> {
    denials: &'a Denials,
    hits: &'a [Hit<'a>],
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.denials.forget(self.hits);
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denials").field("len", &self.len()).finish_non_exhaustive()
    }
}
