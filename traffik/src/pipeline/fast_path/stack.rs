//! The fastest path for a request under a few throttles, decided together.

use super::{FastPath, exempt, report_admitted};
use crate::app::Traffik;
use crate::backend::memory::{AccountHit, FEW};
use crate::backend::{Hit, Op, Verdict, Verdicts};
use crate::decision::Decision;
use crate::hit_outcome::HitOutcome;
use crate::identity::{Identity, Who};
use crate::key;
use crate::pipeline::decisions::Decisions;
use crate::request_fn::RequestFn;
use crate::throttle::Throttle;
use crate::{MemoryBackend, Parts};

/// A request under a few throttles, and how it continues once they are decided. The combined decision is large, so it
/// is either passed on where it is made or not made at all.
pub(crate) trait StackContinuation: Sized {
    /// What the outcome is turned into.
    type Output;

    fn parts(&self) -> &Parts;

    /// The throttle at this index.
    fn throttle(&self, at: usize) -> Option<&Throttle>;

    /// The app that the throttles fall back to; `None` if they cannot take this path.
    fn app(&self) -> Option<Option<&Traffik>>;

    /// Whether an admitted request needs nothing from the throttle at this index. `by_itself` is what the throttle's
    /// own settings say.
    fn is_silent(&self, at: usize, by_itself: bool) -> bool;

    /// All throttles charged the request, and none of their decisions is needed.
    fn silent(self) -> Self::Output;

    /// Anything else.
    fn decided(self, decisions: Decisions) -> Self::Output;
}

/// What the throttles of a stack have in common; otherwise they could not be decided together.
#[derive(Clone, Copy)]
struct Shared<'a> {
    /// Who the client is; `None` stands for the client's address.
    identifier: Option<&'a RequestFn<Identity>>,
    memory: &'a MemoryBackend,
}

impl Shared<'_> {
    #[inline]
    fn agrees(&self, other: &Self) -> bool {
        RequestFn::agree(self.identifier, other.identifier) && self.memory.same(other.memory)
    }
}

/// One throttle's hit among those of a stack.
#[derive(Clone, Copy)]
struct StackedHit<'a> {
    throttle: &'a Throttle,
    fast_path: &'a FastPath,
    cost: u64,
}

impl<'a> StackedHit<'a> {
    /// Creates the hit of a throttle that counts requests in memory at a known cost.
    #[inline]
    fn of(throttle: &'a Throttle, app: Option<&'a Traffik>) -> Option<(Self, Shared<'a>)> {
        let settings = throttle.unchanged_settings()?;
        let fast_path = settings.fast_path.as_ref()?;
        let cost = fast_path.cost(throttle, true, None).filter(|cost| *cost > 0)?;
        let shared = Shared { identifier: settings.identifier_under(app), memory: fast_path.memory(|| app)? };
        Some((Self { throttle, fast_path, cost }, shared))
    }

    /// Whether it is charged to the same key, if the client is the same.
    #[inline]
    fn same_key(&self, other: &Self) -> bool {
        self.fast_path.key == other.fast_path.key
    }

    /// The hit as one on an account, if the strategy has one. Its key is yet without the client's part.
    #[inline(always)]
    fn account_hit(&self) -> Option<AccountHit<'a>> {
        let FastPath { profile, key, .. } = self.fast_path;
        Some(AccountHit { key: *key, profile: profile.as_ref()?, cost: self.cost })
    }

    #[inline]
    fn hit<'h>(&self, who: Who<'h>, hash: u64) -> Hit<'h>
    where
        'a: 'h,
    {
        // The scope is part of the key, and the in-memory store needs no more than that.
        Hit::keyed(&self.fast_path.policy, who, self.fast_path.key ^ hash, None, self.cost)
    }

    fn decision(&self, verdict: &Verdict) -> (Decision, u64) {
        let policy = &self.fast_path.policy;
        (Decision::new(policy, self.cost, verdict), policy.window())
    }

    /// Reports the throttle's outcome in a request that was `admitted` as a whole or not.
    #[inline]
    fn report(&self, verdict: &Verdict, admitted: bool) {
        let outcome = HitOutcome::of(verdict, admitted, false);
        let wait = if verdict.admitted { None } else { verdict.retry_after() };
        let remaining = || verdict.remaining;
        self.throttle.reporter().hit(Op::Hit, MemoryBackend::NAME, outcome, self.cost, remaining, wait);
    }
}

/// Decides a request under a few throttles with accounts, if they can be decided together, which is true of most
/// stacks.
///
/// It is all in one place, so that most of it stays in registers: how many they are is known when it is compiled, so
/// that its loops are unrolled, and rare cases work on copies. Whatever is passed by reference to another function has
/// to be in memory, whether or not that function is called.
#[inline(always)]
pub(crate) fn each<T: StackContinuation, const N: usize>(
    throttles: [&Throttle; N],
    then: T,
) -> Option<T::Output> {
    let (parts, app) = (then.parts(), then.app()?);
    let (first, shared) = StackedHit::of(throttles[0], app)?;
    let mut stacked = [first; N];
    for at in 1..N {
        let (one, its) = StackedHit::of(throttles[at], app)?;
        if !its.agrees(&shared) {
            return None;
        }
        for other in &stacked[..at] {
            if one.same_key(other) {
                return None;
            }
        }
        stacked[at] = one;
    }
    // Checked before any user code runs.
    let Some(hit) = first.account_hit() else {
        return stack(then);
    };
    let mut hits = [hit; N];
    for at in 1..N {
        let Some(hit) = stacked[at].account_hit() else {
            return stack(then);
        };
        hits[at] = hit;
    }
    let called;
    let (who, hash) = match shared.identifier {
        None => (None, Traffik::client_ip_under(app).hash(parts)),
        Some(function) => {
            called = function.immediate()?(parts);
            let who = called.as_ref();
            if who.is_exempted() {
                let decisions = exempted(&{ stacked });
                return Some(then.decided(decisions));
            }
            (Some(who), key::client(who.kind))
        }
    };
    for hit in &mut hits {
        hit.key ^= hash;
    }
    let Some(compact) = shared.memory.hit_each_account(hits) else {
        let who = who.unwrap_or_else(|| Who::of(Traffik::client_ip_under(app).kind(parts)));
        let decisions = decide(shared.memory, &{ stacked }, who, hash);
        return Some(then.decided(decisions));
    };
    let mut is_silent = true;
    for at in 0..N {
        let (StackedHit { throttle, fast_path, cost }, hit, compact) = (stacked[at], hits[at], compact[at]);
        report_admitted(throttle, cost, || hit.profile.account.full_verdict(&compact).remaining);
        is_silent = is_silent && then.is_silent(at, fast_path.is_silent);
    }
    if is_silent {
        return Some(then.silent());
    }
    let mut verdicts = [Verdict::default(); N];
    for at in 0..N {
        verdicts[at] = hits[at].profile.account.full_verdict(&compact[at]);
    }
    let decisions = admitted(&{ stacked }, &verdicts);
    Some(then.decided(decisions))
}

/// The same for a few throttles, whatever their strategies.
#[inline(never)]
fn stack<T: StackContinuation>(then: T) -> Option<T::Output> {
    let (parts, app) = (then.parts(), then.app()?);
    let (first, shared) = StackedHit::of(then.throttle(0)?, app)?;
    let mut stacked = [first; FEW];
    let mut count = 1;
    while let Some(throttle) = then.throttle(count) {
        let (one, its) = StackedHit::of(throttle, app)?;
        if !its.agrees(&shared) || stacked[..count].iter().any(|other| one.same_key(other)) {
            return None;
        }
        *stacked.get_mut(count)? = one;
        count += 1;
    }
    let stacked = &stacked[..count];

    let called;
    let who = match shared.identifier {
        Some(function) => {
            called = function.immediate()?(parts);
            called.as_ref()
        }
        None => Who::of(Traffik::client_ip_under(app).kind(parts)),
    };
    if who.is_exempted() {
        let decisions = exempted(stacked);
        return Some(then.decided(decisions));
    }
    let hash = key::client(who.kind);

    let mut hits = [first.hit(who, hash); FEW];
    for (hit, one) in hits.iter_mut().zip(stacked).skip(1) {
        *hit = one.hit(who, hash);
    }
    let mut verdicts = [Verdict::default(); FEW];
    let (hits, verdicts) = (&hits[..count], &mut verdicts[..count]);
    if !shared.memory.hit_few(hits, verdicts) {
        let decisions = decide(shared.memory, stacked, who, hash);
        return Some(then.decided(decisions));
    }
    for (one, verdict) in stacked.iter().zip(&*verdicts) {
        report_admitted(one.throttle, one.cost, || verdict.remaining);
    }
    if stacked.iter().enumerate().all(|(at, one)| then.is_silent(at, one.fast_path.is_silent)) {
        return Some(then.silent());
    }
    let decisions = admitted(stacked, verdicts);
    Some(then.decided(decisions))
}

fn admitted(stacked: &[StackedHit<'_>], verdicts: &[Verdict]) -> Decisions {
    Decisions::of(stacked.iter().zip(verdicts).map(|(one, verdict)| one.decision(verdict)))
}

#[cold]
fn exempted(stacked: &[StackedHit<'_>]) -> Decisions {
    Decisions::of(stacked.iter().map(|one| (exempt(one.throttle), 0)))
}

/// Decides a request that is refused or is a client's first.
#[cold]
fn decide(memory: &MemoryBackend, stacked: &[StackedHit<'_>], who: Who<'_>, hash: u64) -> Decisions {
    let hits: Vec<_> = stacked.iter().map(|one| one.hit(who, hash)).collect();
    let mut verdicts = Verdicts::new(0, []);
    memory.decide_into(Op::Hit, &hits, &mut verdicts);
    let admitted = verdicts.admitted();
    let decision = |(one, verdict): (&StackedHit<'_>, &Verdict)| {
        one.report(verdict, admitted);
        one.decision(verdict)
    };
    Decisions::of(stacked.iter().zip(&verdicts.each).map(decision))
}
