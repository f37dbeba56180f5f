//! The fastest path for a request under a few throttles, decided together.

use super::{FastPath, exempt, report_admitted};
use crate::app::Traffik;
use crate::backend::memory::{AccountHit, FEW};
use crate::backend::{Hit, Op, Verdict, Verdicts};
use crate::decision::Decision;
use crate::hit_outcome::HitOutcome;
use crate::identity::Who;
use crate::key;
use crate::pipeline::decisions::Decisions;
use crate::request_fn::RequestFn;
use crate::settings::Settings;
use crate::strategy::CompactVerdict;
use crate::throttle::Throttle;
use crate::{MemoryBackend, Parts};

/// A request under a few throttles, and how it continues once they are decided. The combined decision is large, so it
/// is either passed on where it is made or not made at all.
pub(crate) trait StackContinuation: Sized {
    /// What the outcome is turned into.
    type Output;

    fn parts(&self) -> &Parts;

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

/// One throttle's hit among those of a stack.
#[derive(Clone, Copy)]
struct StackedHit<'a> {
    throttle: &'a Throttle,
    settings: &'a Settings,
    fast_path: &'a FastPath,
    cost: u64,
    memory: &'a MemoryBackend,
}

impl<'a> StackedHit<'a> {
    /// Creates the hit of a throttle that counts requests in memory at a known cost.
    #[inline]
    fn of(throttle: &'a Throttle, app: Option<&'a Traffik>) -> Option<Self> {
        let settings = throttle.unchanged_settings()?;
        let fast_path = settings.fast_path.as_ref()?;
        let cost = fast_path.cost(throttle, true, None).filter(|cost| *cost > 0)?;
        let memory = fast_path.memory(|| app)?;
        Some(Self { throttle, settings, fast_path, cost, memory })
    }

    /// Whether it can be decided together with another: the same client and store, but another key.
    #[inline]
    fn can_be_batched_with(&self, other: &Self) -> bool {
        RequestFn::agree(self.settings.identifier.as_ref(), other.settings.identifier.as_ref())
            && self.memory.same(other.memory)
            && self.fast_path.key != other.fast_path.key
    }

    /// The hit as one on an account, if the strategy has one, of the client with this hash.
    #[inline(always)]
    fn account_hit(&self, hash: u64) -> Option<AccountHit<'a>> {
        let FastPath { profile, key, .. } = self.fast_path;
        Some(AccountHit { key: key ^ hash, profile: profile.as_ref()?, cost: self.cost })
    }

    #[inline]
    fn hit<'h>(&self, who: Who<'h>, hash: u64) -> Hit<'h>
    where
        'a: 'h,
    {
        Hit::keyed(
            &self.fast_path.policy,
            who,
            self.fast_path.key ^ hash,
            self.settings.fixed_scope(),
            self.cost,
        )
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

/// Decides a request under two throttles with accounts, if both can be decided together, which is true of most
/// stacks.
///
/// It is all in one place, and rare cases work on copies: whatever is passed by reference to another function has to
/// be in memory, whether or not that function is called.
#[inline(always)]
pub(crate) fn pair<T: StackContinuation>(throttles: [&Throttle; 2], then: T) -> Option<T::Output> {
    let (parts, app) = (then.parts(), then.app()?);
    let a = StackedHit::of(throttles[0], app)?;
    let b = StackedHit::of(throttles[1], app)?;
    if !b.can_be_batched_with(&a) {
        return None;
    }
    // Checked before any user code runs.
    if a.fast_path.profile.is_none() || b.fast_path.profile.is_none() {
        return stack(|at| throttles.get(at).copied(), then);
    }
    let called;
    let (who, hash) = match a.settings.identifier_under(app) {
        None => (None, Traffik::client_ip_under(app).hash(parts)),
        Some(function) => {
            called = function.immediate()?(parts);
            let who = called.as_ref();
            if who.is_exempted() {
                let decisions = exempted(&[a, b]);
                return Some(then.decided(decisions));
            }
            (Some(who), key::client(who.kind))
        }
    };
    let (hit_a, hit_b) = (a.account_hit(hash)?, b.account_hit(hash)?);
    let Some([verdict_a, verdict_b]) = a.memory.hit_two_accounts(hit_a, hit_b) else {
        let who = who.unwrap_or_else(|| Who::of(Traffik::client_ip_under(app).kind(parts)));
        let decisions = decide(&[a, b], who, hash);
        return Some(then.decided(decisions));
    };
    report_admitted(a.throttle, a.cost, || hit_a.profile.account.full_verdict(&verdict_a).remaining);
    report_admitted(b.throttle, b.cost, || hit_b.profile.account.full_verdict(&verdict_b).remaining);
    if then.is_silent(0, a.fast_path.is_silent) && then.is_silent(1, b.fast_path.is_silent) {
        return Some(then.silent());
    }
    let verdicts =
        [hit_a.profile.account.full_verdict(&verdict_a), hit_b.profile.account.full_verdict(&verdict_b)];
    let decisions = admitted(&[a, b], &verdicts);
    Some(then.decided(decisions))
}

/// The same for a few throttles, whatever their strategies.
#[inline(never)]
pub(crate) fn stack<'a, T: StackContinuation>(
    throttle: impl Fn(usize) -> Option<&'a Throttle>,
    then: T,
) -> Option<T::Output> {
    let (parts, app) = (then.parts(), then.app()?);
    let first = StackedHit::of(throttle(0)?, app)?;
    let mut stacked = [first; FEW];
    let mut count = 1;
    while let Some(throttle) = throttle(count) {
        let one = StackedHit::of(throttle, app)?;
        for other in &stacked[..count] {
            if !one.can_be_batched_with(other) {
                return None;
            }
        }
        *stacked.get_mut(count)? = one;
        count += 1;
    }
    let stacked = &stacked[..count];

    let called;
    let who = match first.settings.identifier_under(app) {
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

    let mut verdicts = [Verdict::default(); FEW];
    let verdicts = &mut verdicts[..count];
    if !charge(stacked, who, hash, verdicts) {
        let decisions = decide(stacked, who, hash);
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

/// Charges the hits of all, if all pass and their keys exist. Returns whether it did.
#[inline]
fn charge(stacked: &[StackedHit<'_>], who: Who<'_>, hash: u64, verdicts: &mut [Verdict]) -> bool {
    let [first, others @ ..] = stacked else { return false };
    if let Some(hit) = first.account_hit(hash) {
        let mut hits = [hit; FEW];
        let mut have_accounts = true;
        for (hit, one) in hits.iter_mut().skip(1).zip(others) {
            match one.account_hit(hash) {
                Some(other) => *hit = other,
                None => have_accounts = false,
            }
        }
        if have_accounts {
            let mut compact = [CompactVerdict::default(); FEW];
            let passed = first.memory.hit_accounts(&hits[..stacked.len()], &mut compact[..stacked.len()]);
            for (verdict, (hit, compact)) in verdicts.iter_mut().zip(hits.iter().zip(&compact)) {
                *verdict = hit.profile.account.full_verdict(compact);
            }
            return passed;
        }
    }
    let mut hits = [first.hit(who, hash); FEW];
    for (hit, one) in hits.iter_mut().skip(1).zip(others) {
        *hit = one.hit(who, hash);
    }
    first.memory.hit_few(&hits[..stacked.len()], verdicts)
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
fn decide(stacked: &[StackedHit<'_>], who: Who<'_>, hash: u64) -> Decisions {
    let hits: Vec<_> = stacked.iter().map(|one| one.hit(who, hash)).collect();
    let mut verdicts = Verdicts::new(0, []);
    if let [first, ..] = stacked {
        first.memory.decide_into(Op::Hit, &hits, &mut verdicts);
    }
    let admitted = verdicts.admitted();
    let decision = |(one, verdict): (&StackedHit<'_>, &Verdict)| {
        one.report(verdict, admitted);
        one.decision(verdict)
    };
    Decisions::of(stacked.iter().zip(&verdicts.each).map(decision))
}
