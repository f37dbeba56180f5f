//! The fastest path: a hit on one throttle that counts in memory and has not been changed since it was built.
//!
//! It decides nothing differently from [`decide`](super::decide). Everything that leads up to the decision is
//! worked out when the throttle is built, so that a hit is a hash and a step. If the strategy has an account, all
//! of it stays in registers, from the poll of the hit's future to its result, and is inlined into the code that
//! awaits it, where much of it is known. Whether a hit can take this path is known before any user code runs; one
//! that can't takes another.

#[cfg(feature = "tower")]
mod stack;

#[cfg(feature = "tower")]
pub(crate) use stack::{StackContinuation, each};

use super::backends::inherited;
use crate::MemoryBackend;
#[cfg(feature = "tower")]
use crate::Parts;
use crate::app::Traffik;
use crate::backend::memory::{AccountHit, AccountProfile};
use crate::backend::{Hit, Op, Verdict};
use crate::decision::{Decision, Stat};
use crate::hit_outcome::HitOutcome;
use crate::identity::{KindRef, Who};
use crate::settings::{FastPath, Settings};
use crate::strategy::CompactVerdict;
use crate::subject::Subject;
use crate::throttle::Throttle;

impl FastPath {
    /// What a hit costs: 0 if it is not counted, `None` if the cost has to be computed.
    #[inline(always)]
    fn cost(&self, throttle: &Throttle, is_request: bool, units: Option<u64>) -> Option<u64> {
        let cost = match units {
            Some(units) => units,
            None if self.is_computed && is_request => return None,
            None => self.cost,
        };
        Some(if throttle.is_enabled() { cost } else { 0 })
    }

    /// The store it counts on, if that is in memory.
    #[inline(always)]
    fn memory<'a>(&'a self, app: impl FnOnce() -> Option<&'a Traffik>) -> Option<&'a MemoryBackend> {
        match &self.own {
            Some(own) => Some(own),
            None => inherited(app())?.memory(),
        }
    }
}

/// A hit that is about to be charged to an account, given its key.
pub(crate) struct FastHit<'a, 'm> {
    throttle: &'a Throttle,
    fast_path: &'a FastPath,
    profile: &'a AccountProfile,
    memory: &'m MemoryBackend,
    key: u64,
    cost: u64,
}

/// Prepares the hit of a plain identity, if the strategy has an account.
///
/// Always inlined, here and below: arguments and results would otherwise travel through memory. Functions that are
/// not inlined take their arguments one by one, for the same reason.
#[inline(always)]
pub(crate) fn fast_hit<'a>(
    throttle: &'a Throttle,
    client: KindRef<'_>,
    units: Option<u64>,
) -> Option<FastHit<'a, 'a>> {
    let fast_path = throttle.unchanged_settings()?.fast_path.as_ref()?;
    let profile = fast_path.profile.as_ref()?;
    let cost = fast_path.cost(throttle, false, units).filter(|cost| *cost > 0)?;
    let memory = fast_path.memory(|| Traffik::of(None))?;
    let key = fast_path.key ^ fast_path.keys.client(client);
    Some(FastHit { throttle, fast_path, profile, memory, key, cost })
}

/// A hit that passed on an existing account.
pub(crate) struct AdmittedHit<'a> {
    fast_path: &'a FastPath,
    profile: &'a AccountProfile,
    compact: CompactVerdict,
}

impl AdmittedHit<'_> {
    /// Whether it leaves nothing to report, unless the place of use says otherwise.
    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn is_silent(&self) -> bool {
        self.fast_path.is_silent
    }

    /// Computes the client's state, for callers that need it.
    #[inline(always)]
    pub(crate) fn stat(&self) -> Stat {
        Stat::new(&self.fast_path.policy, &self.profile.account.full_verdict(&self.compact))
    }
}

/// What to do with the outcome of a hit. One method per case avoids building a `Decision` only to match on it. A
/// trait rather than closures, which are not always inlined.
pub(crate) trait HitContinuation: Sized {
    /// What the outcome is turned into.
    type Output;

    /// The hit passed, on an existing account.
    fn admitted(self, hit: AdmittedHit<'_>) -> Self::Output;

    /// The hit passed uncounted.
    #[inline(always)]
    fn exempt(self) -> Self::Output {
        self.decided(Decision::Exempt)
    }

    /// Anything else: the hit did not pass, or was the client's first.
    fn decided(self, decision: Decision) -> Self::Output;
}

/// Continues with the decision itself.
struct Decide;

impl HitContinuation for Decide {
    type Output = Decision;

    #[inline(always)]
    fn admitted(self, hit: AdmittedHit<'_>) -> Decision {
        Decision::Allowed(hit.stat())
    }

    fn decided(self, decision: Decision) -> Decision {
        decision
    }
}

impl FastHit<'_, '_> {
    /// Charges the hit, and continues with its outcome.
    #[inline(always)]
    pub(crate) fn charge<T: HitContinuation>(self, then: T) -> T::Output {
        let Self { throttle, fast_path, profile, memory, key, cost } = self;
        match memory.hit(&AccountHit { key, profile, cost }) {
            Ok(compact) if compact.is_admitted() => {
                report_admitted(throttle, cost, || profile.account.full_verdict(&compact).remaining);
                then.admitted(AdmittedHit { fast_path, profile, compact })
            }
            Ok(compact) => {
                then.decided(refused(throttle, fast_path, cost, &profile.account.full_verdict(&compact)))
            }
            Err(now) => then.decided(first(throttle, fast_path, profile, memory, key, cost, now)),
        }
    }
}

/// Decides a hit of any subject.
pub(crate) fn hit(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    let settings = throttle.unchanged_settings()?;
    let fast_path = settings.fast_path.as_ref()?;
    let parts = subject.parts();
    let cost = fast_path.cost(throttle, parts.is_some(), units)?;
    let app = Traffik::of(parts);
    let memory = fast_path.memory(|| app)?;
    let known;
    let who = match (parts, settings.identifier_under(app)) {
        (None, _) => subject.who()?,
        (Some(_), _) if cost == 0 => return Some(exempt(throttle)),
        (Some(parts), None) => Who::of(Traffik::client_ip_under(app).kind(parts)),
        (Some(parts), Some(function)) => {
            known = function.immediate()?(parts);
            known.as_ref()
        }
    };
    Some(decide(throttle, settings, fast_path, memory, cost, who, Decide))
}

/// Decides a request's hit and continues with its outcome, if a request that passes leaves at most headers to
/// write. `app` is what the throttle falls back to.
#[cfg(feature = "tower")]
#[inline(always)]
pub(crate) fn request<T: HitContinuation>(
    throttle: &Throttle,
    parts: &Parts,
    app: Option<&Traffik>,
    then: T,
) -> Option<T::Output> {
    let settings = throttle.unchanged_settings()?;
    let fast_path = settings.fast_path.as_ref().filter(|fast_path| fast_path.leaves_nothing_to_do)?;
    let cost = fast_path.cost(throttle, true, None)?;
    if cost == 0 {
        throttle.reporter().exempt(Op::Hit);
        return Some(then.exempt());
    }
    let memory = fast_path.memory(|| app)?;
    Some(match (settings.identifier_under(app), &fast_path.profile) {
        (None, Some(profile)) => {
            let key = fast_path.key ^ Traffik::client_ip_under(app).hash(parts);
            FastHit { throttle, fast_path, profile, memory, key, cost }.charge(then)
        }
        (None, None) => {
            let who = Who::of(Traffik::client_ip_under(app).kind(parts));
            decide(throttle, settings, fast_path, memory, cost, who, then)
        }
        (Some(function), _) => {
            // Used where the function puts it: moving an identity takes longer than an exempt request should.
            let client = function.immediate()?(parts);
            if client.is_exempted() {
                throttle.reporter().exempt(Op::Hit);
                return Some(then.exempt());
            }
            decide(throttle, settings, fast_path, memory, cost, client.as_ref(), then)
        }
    })
}

/// Decides the hit of any client, whether exempt or not.
#[inline(always)]
fn decide<T: HitContinuation>(
    throttle: &Throttle,
    settings: &Settings,
    fast_path: &FastPath,
    memory: &MemoryBackend,
    cost: u64,
    who: Who<'_>,
    then: T,
) -> T::Output {
    if cost == 0 || who.is_exempted() {
        throttle.reporter().exempt(Op::Hit);
        return then.exempt();
    }
    let key = fast_path.key ^ fast_path.keys.client(who.kind);
    match &fast_path.profile {
        Some(profile) => FastHit { throttle, fast_path, profile, memory, key, cost }.charge(then),
        None => {
            let hit = Hit::keyed(&fast_path.policy, who, key, settings.fixed_scope(), cost);
            then.decided(reported(throttle, fast_path, cost, memory.decide_one(Op::Hit, &hit).1))
        }
    }
}

#[inline(always)]
fn report_admitted(throttle: &Throttle, cost: u64, remaining: impl FnOnce() -> u64) {
    throttle.reporter().hit(Op::Hit, MemoryBackend::NAME, HitOutcome::Allowed, cost, remaining, None);
}

#[cold]
fn refused(throttle: &Throttle, fast_path: &FastPath, cost: u64, verdict: &Verdict) -> Decision {
    let (left, wait) = (verdict.remaining, verdict.retry_after());
    throttle.reporter().hit(Op::Hit, MemoryBackend::NAME, HitOutcome::Denied, cost, || left, wait);
    Decision::new(&fast_path.policy, cost, verdict)
}

#[cold]
fn first(
    throttle: &Throttle,
    fast_path: &FastPath,
    profile: &AccountProfile,
    memory: &MemoryBackend,
    key: u64,
    cost: u64,
    now: u64,
) -> Decision {
    reported(throttle, fast_path, cost, memory.first_hit(key, now, &profile.account, cost))
}

fn reported(throttle: &Throttle, fast_path: &FastPath, cost: u64, verdict: Verdict) -> Decision {
    if !verdict.admitted {
        return refused(throttle, fast_path, cost, &verdict);
    }
    report_admitted(throttle, cost, || verdict.remaining);
    Decision::Allowed(Stat::new(&fast_path.policy, &verdict))
}

fn exempt(throttle: &Throttle) -> Decision {
    throttle.reporter().exempt(Op::Hit);
    Decision::Exempt
}
