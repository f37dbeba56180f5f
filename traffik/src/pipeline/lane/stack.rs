//! The fastest path for a request under a few throttles, decided together.

use super::{Lane, exempt, tell_admitted};
use crate::app::Traffik;
use crate::backend::memory::{AccountHit, FEW};
use crate::backend::{Hit, Op, Verdict, Verdicts};
use crate::client_ip;
use crate::decision::Decision;
use crate::identity::Who;
use crate::key;
use crate::observe::{self, HitOutcome};
use crate::pipeline::Ruling;
use crate::request_fn::RequestFn;
use crate::settings::Settings;
use crate::strategy::CompactVerdict;
use crate::throttle::Throttle;
use crate::{MemoryBackend, Parts};

/// A request under a few throttles, and how it continues once they are decided. The combined decision is large, so it
/// is either passed on where it is made or not made at all.
pub(crate) trait Together: Sized {
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
    fn decided(self, ruling: Ruling) -> Self::Output;
}

/// One throttle's way to its decision.
#[derive(Clone, Copy)]
struct Way<'a> {
    throttle: &'a Throttle,
    settings: &'a Settings,
    lane: &'a Lane,
    cost: u64,
    memory: &'a MemoryBackend,
}

impl<'a> Way<'a> {
    /// Creates the way of a throttle that counts requests in memory at a known cost.
    #[inline]
    fn of(throttle: &'a Throttle, app: Option<&'a Traffik>) -> Option<Self> {
        let settings = throttle.built()?;
        let lane = settings.lane.as_ref()?;
        let cost = lane.cost(throttle, true, None).filter(|cost| *cost > 0)?;
        let memory = lane.memory(|| app)?;
        Some(Self { throttle, settings, lane, cost, memory })
    }

    /// Whether it can be decided together with another: the same client and store, but another key.
    #[inline]
    fn goes_with(&self, other: &Self) -> bool {
        RequestFn::agree(self.settings.identifier.as_ref(), other.settings.identifier.as_ref())
            && self.memory.same(other.memory)
            && self.lane.key != other.lane.key
    }

    /// The hit as one on an account, if the strategy has one, of the client with this hash.
    #[inline(always)]
    fn account_hit(&self, hash: u64) -> Option<AccountHit<'a>> {
        let Lane { profile, key, .. } = self.lane;
        Some(AccountHit { key: key ^ hash, profile: profile.as_ref()?, cost: self.cost })
    }

    #[inline]
    fn hit<'h>(&self, who: Who<'h>, hash: u64) -> Hit<'h>
    where
        'a: 'h,
    {
        Hit::keyed(&self.lane.policy, who, self.lane.key ^ hash, self.settings.fixed_scope(), self.cost)
    }

    fn decision(&self, verdict: &Verdict) -> (Decision, u64) {
        let policy = &self.lane.policy;
        (Decision::new(policy, self.cost, verdict), policy.window())
    }

    /// Reports the throttle's outcome in a request that was `admitted` as a whole or not.
    #[inline]
    fn tell(&self, verdict: &Verdict, admitted: bool) {
        let outcome = HitOutcome::of(verdict, admitted, false);
        let wait = if verdict.admitted { None } else { verdict.retry_after() };
        observe::hit(
            Op::Hit,
            self.throttle,
            MemoryBackend::NAME,
            outcome,
            self.cost,
            || verdict.remaining,
            wait,
        );
    }
}

/// Decides a request under two throttles with accounts, if both can be decided together, which is true of most
/// stacks.
///
/// It is all in one place, and rare cases work on copies: whatever is passed by reference to another function has to
/// be in memory, whether or not that function is called.
#[inline(always)]
pub(crate) fn pair<T: Together>(throttles: [&Throttle; 2], together: T) -> Option<T::Output> {
    let (parts, app) = (together.parts(), together.app()?);
    let a = Way::of(throttles[0], app)?;
    let b = Way::of(throttles[1], app)?;
    if !b.goes_with(&a) {
        return None;
    }
    // Checked before any user code runs.
    if a.lane.profile.is_none() || b.lane.profile.is_none() {
        return stack(|at| throttles.get(at).copied(), together);
    }
    let called;
    let (who, hash) = match &a.settings.identifier {
        None => (None, client_ip::hash(parts, app)),
        Some(function) => {
            called = function.immediate()?(parts);
            let who = called.as_ref();
            if who.is_exempted() {
                let ruling = exempted(&[a, b]);
                return Some(together.decided(ruling));
            }
            (Some(who), key::client(who.kind))
        }
    };
    let (hit_a, hit_b) = (a.account_hit(hash)?, b.account_hit(hash)?);
    let Some([verdict_a, verdict_b]) = a.memory.hit_two_accounts(hit_a, hit_b) else {
        let who = who.unwrap_or_else(|| Who::of(client_ip::kind(parts, app)));
        let ruling = decide(&[a, b], who, hash);
        return Some(together.decided(ruling));
    };
    tell_admitted(a.throttle, a.cost, || hit_a.profile.account.full_verdict(&verdict_a).remaining);
    tell_admitted(b.throttle, b.cost, || hit_b.profile.account.full_verdict(&verdict_b).remaining);
    if together.is_silent(0, a.lane.is_silent) && together.is_silent(1, b.lane.is_silent) {
        return Some(together.silent());
    }
    let verdicts =
        [hit_a.profile.account.full_verdict(&verdict_a), hit_b.profile.account.full_verdict(&verdict_b)];
    let ruling = admitted(&[a, b], &verdicts);
    Some(together.decided(ruling))
}

/// The same for a few throttles, whatever their strategies.
#[inline(never)]
pub(crate) fn stack<'a, T: Together>(
    throttle: impl Fn(usize) -> Option<&'a Throttle>,
    together: T,
) -> Option<T::Output> {
    let (parts, app) = (together.parts(), together.app()?);
    let first = Way::of(throttle(0)?, app)?;
    let mut ways = [first; FEW];
    let mut count = 1;
    while let Some(throttle) = throttle(count) {
        let way = Way::of(throttle, app)?;
        for other in &ways[..count] {
            if !way.goes_with(other) {
                return None;
            }
        }
        *ways.get_mut(count)? = way;
        count += 1;
    }
    let ways = &ways[..count];

    let called;
    let who = match &first.settings.identifier {
        Some(function) => {
            called = function.immediate()?(parts);
            called.as_ref()
        }
        None => Who::of(client_ip::kind(parts, app)),
    };
    if who.is_exempted() {
        let ruling = exempted(ways);
        return Some(together.decided(ruling));
    }
    let hash = key::client(who.kind);

    let mut verdicts = [Verdict::default(); FEW];
    let verdicts = &mut verdicts[..count];
    if !charge(ways, who, hash, verdicts) {
        let ruling = decide(ways, who, hash);
        return Some(together.decided(ruling));
    }
    for (way, verdict) in ways.iter().zip(&*verdicts) {
        tell_admitted(way.throttle, way.cost, || verdict.remaining);
    }
    if ways.iter().enumerate().all(|(at, way)| together.is_silent(at, way.lane.is_silent)) {
        return Some(together.silent());
    }
    let ruling = admitted(ways, verdicts);
    Some(together.decided(ruling))
}

/// Charges the hits of all, if all pass and their keys exist. Returns whether it did.
#[inline]
fn charge(ways: &[Way<'_>], who: Who<'_>, hash: u64, verdicts: &mut [Verdict]) -> bool {
    let [first, others @ ..] = ways else { return false };
    if let Some(hit) = first.account_hit(hash) {
        let mut hits = [hit; FEW];
        let mut have_accounts = true;
        for (hit, way) in hits.iter_mut().skip(1).zip(others) {
            match way.account_hit(hash) {
                Some(other) => *hit = other,
                None => have_accounts = false,
            }
        }
        if have_accounts {
            let mut compact = [CompactVerdict::default(); FEW];
            let passed = first.memory.hit_accounts(&hits[..ways.len()], &mut compact[..ways.len()]);
            for (verdict, (hit, compact)) in verdicts.iter_mut().zip(hits.iter().zip(&compact)) {
                *verdict = hit.profile.account.full_verdict(compact);
            }
            return passed;
        }
    }
    let mut hits = [first.hit(who, hash); FEW];
    for (hit, way) in hits.iter_mut().skip(1).zip(others) {
        *hit = way.hit(who, hash);
    }
    first.memory.hit_few(&hits[..ways.len()], verdicts)
}

fn admitted(ways: &[Way<'_>], verdicts: &[Verdict]) -> Ruling {
    Ruling::of(ways.iter().zip(verdicts).map(|(way, verdict)| way.decision(verdict)))
}

#[cold]
fn exempted(ways: &[Way<'_>]) -> Ruling {
    Ruling::of(ways.iter().map(|way| (exempt(way.throttle), 0)))
}

/// Decides a request that is refused or is a client's first.
#[cold]
fn decide(ways: &[Way<'_>], who: Who<'_>, hash: u64) -> Ruling {
    let hits: Vec<_> = ways.iter().map(|way| way.hit(who, hash)).collect();
    let mut verdicts = Verdicts::new(0, []);
    if let [first, ..] = ways {
        first.memory.decide_into(Op::Hit, &hits, &mut verdicts);
    }
    let admitted = verdicts.admitted();
    let decision = |(way, verdict): (&Way<'_>, &Verdict)| {
        way.tell(verdict, admitted);
        way.decision(verdict)
    };
    Ruling::of(ways.iter().zip(&verdicts.each).map(decision))
}
