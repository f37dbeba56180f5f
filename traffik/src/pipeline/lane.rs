//! The shortest way of all: a hit by one throttle that counts in memory and was not changed since it
//! was built.
//!
//! Nothing is decided differently here than by [`decide`](super::decide): what leads to the decision
//! is worked out when the throttle is built, so that a hit is a hash and a step. Where the strategy has an
//! account all of it stays in registers, from the poll of the hit's future to its result, and is made part
//! of whoever awaits it, where much of it is known. Whatever does not fit takes the other way, and nothing
//! of the user's runs before it is known which.

#[cfg(feature = "tower")]
mod stack;

#[cfg(feature = "tower")]
pub(crate) use stack::{Together, pair, stack};

use super::backends::inherited;
use crate::MemoryBackend;
#[cfg(feature = "tower")]
use crate::Parts;
use crate::app::Traffik;
use crate::backend::memory::{AccountHit, Gauged};
use crate::backend::{Hit, Op, Verdict};
use crate::client_ip;
use crate::decision::{Decision, Stat};
use crate::identity::{KindRef, Who};
use crate::key;
use crate::observe::{self, HitOutcome};
use crate::policy::Policy;
use crate::request_fn::Source;
use crate::settings::{BackendSetting, Settings};
use crate::strategy::Balance;
use crate::subject::Subject;
use crate::throttle::Throttle;

/// What does not change from hit to hit.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    policy: Policy,
    /// Where the strategy has one, and the store has room for whatever is used of it.
    gauged: Option<Gauged>,
    /// The key but for the identity.
    key: u64,
    /// What makes the rest of it, at hand.
    keys: key::Keys,
    /// What a hit costs outside HTTP; there a computed cost is 1.
    cost: u64,
    /// Whether requests cost something else each.
    is_computed: bool,
    /// The throttle's own store; `None` to inherit one.
    own: Option<MemoryBackend>,
    /// Whether a request that passes leaves nothing to do or to tell, as far as the throttle goes.
    #[cfg(feature = "tower")]
    is_silent: bool,
    /// Whether all that it may leave is headers.
    #[cfg(feature = "tower")]
    leaves_nothing_to_do: bool,
}

impl Lane {
    /// That of settings, if they leave nothing to be asked.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let policy = settings.fixed_policy()?;
        let own = match &settings.backend {
            BackendSetting::Own(own) => Some(own.memory()?.clone()),
            BackendSetting::Inherit => None,
            BackendSetting::Dynamic(_) => return None,
        };
        if !settings.is_immediate || policy.rate().is_unlimited() {
            return None;
        }
        let cost = if let Source::Fixed(cost) = settings.cost { Some(cost) } else { None };
        Some(Self {
            gauged: policy.account().and_then(Gauged::new),
            key: key::of(policy, 0, settings.fixed_scope()),
            keys: key::Keys::get(),
            cost: cost.unwrap_or(1),
            is_computed: cost.is_none(),
            own,
            #[cfg(feature = "tower")]
            is_silent: settings.answers.are_silent(),
            #[cfg(feature = "tower")]
            leaves_nothing_to_do: settings.answers.leave_nothing_to_do(),
            policy: policy.clone(),
        })
    }

    /// What a hit costs: 0 where it is not counted, `None` where it has to be computed.
    #[inline(always)]
    fn cost(&self, throttle: &Throttle, is_request: bool, units: Option<u64>) -> Option<u64> {
        let cost = match units {
            Some(units) => units,
            None if self.is_computed && is_request => return None,
            None => self.cost,
        };
        Some(if throttle.is_enabled() { cost } else { 0 })
    }

    /// Where it counts, if that is in memory.
    #[inline(always)]
    fn memory<'a>(&'a self, app: impl FnOnce() -> Option<&'a Traffik>) -> Option<&'a MemoryBackend> {
        match &self.own {
            Some(own) => Some(own),
            None => inherited(app())?.memory(),
        }
    }
}

/// A hit that is about to be taken on an account, by its key.
pub(crate) struct Direct<'a, 'm> {
    throttle: &'a Throttle,
    lane: &'a Lane,
    gauged: &'a Gauged,
    memory: &'m MemoryBackend,
    key: u64,
    cost: u64,
}

/// The hit of a plain identity, if the strategy has an account.
///
/// Inlined always, here and below: arguments and results would travel through memory. What is not
/// inlined takes its arguments one by one, for the same reason.
#[inline(always)]
pub(crate) fn direct<'a>(
    throttle: &'a Throttle,
    client: KindRef<'_>,
    units: Option<u64>,
) -> Option<Direct<'a, 'a>> {
    let lane = throttle.built()?.lane.as_ref()?;
    let gauged = lane.gauged.as_ref()?;
    let cost = lane.cost(throttle, false, units).filter(|cost| *cost > 0)?;
    let memory = lane.memory(|| Traffik::of(None))?;
    let key = lane.key ^ lane.keys.client(client);
    Some(Direct { throttle, lane, gauged, memory, key, cost })
}

/// A hit that passed on an account that is known.
pub(crate) struct Passed<'a> {
    lane: &'a Lane,
    gauged: &'a Gauged,
    balance: Balance,
}

impl Passed<'_> {
    /// Whether it leaves nothing to tell, unless the place of use says otherwise.
    #[cfg(feature = "tower")]
    #[inline(always)]
    pub(crate) fn is_silent(&self) -> bool {
        self.lane.is_silent
    }

    /// The client's state, worked out for whoever wants to see it.
    #[inline(always)]
    pub(crate) fn stat(&self) -> Stat {
        Stat::new(&self.lane.policy, &self.gauged.account.tell(&self.balance))
    }
}

/// What to do with the outcome of a hit. A method for each case saves building a `Decision` only to match on it. A
/// trait, as closures are not always inlined.
pub(crate) trait Then: Sized {
    /// Where that leads.
    type Output;

    /// It passed, on an account that is known.
    fn passed(self, passed: Passed<'_>) -> Self::Output;

    /// It passed uncounted.
    #[inline(always)]
    fn exempt(self) -> Self::Output {
        self.decided(Decision::Exempt)
    }

    /// Anything else: it did not pass, or was the client's first.
    fn decided(self, decision: Decision) -> Self::Output;
}

/// Goes on with the decision.
struct Decide;

impl Then for Decide {
    type Output = Decision;

    #[inline(always)]
    fn passed(self, passed: Passed<'_>) -> Decision {
        Decision::Allowed(passed.stat())
    }

    fn decided(self, decision: Decision) -> Decision {
        decision
    }
}

impl Direct<'_, '_> {
    /// Takes the hit, and goes on.
    #[inline(always)]
    pub(crate) fn take<T: Then>(self, then: T) -> T::Output {
        let Self { throttle, lane, gauged, memory, key, cost } = self;
        match memory.hit(&AccountHit { key, gauged, cost }) {
            Ok(balance) if balance.is_admitted() => {
                tell_admitted(throttle, cost, || gauged.account.tell(&balance).remaining);
                then.passed(Passed { lane, gauged, balance })
            }
            Ok(balance) => then.decided(refused(throttle, lane, cost, &gauged.account.tell(&balance))),
            Err(now) => then.decided(first(throttle, lane, gauged, memory, key, cost, now)),
        }
    }
}

/// Decides a hit of whatever subject.
pub(crate) fn hit(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    let settings = throttle.built()?;
    let lane = settings.lane.as_ref()?;
    let parts = subject.parts();
    let cost = lane.cost(throttle, parts.is_some(), units)?;
    let app = Traffik::of(parts);
    let memory = lane.memory(|| app)?;
    let known;
    let who = match (parts, &settings.identifier) {
        (None, _) => subject.who()?,
        (Some(_), _) if cost == 0 => return Some(exempt(throttle)),
        (Some(parts), None) => Who::of(client_ip::kind(parts, app)),
        (Some(parts), Some(function)) => {
            known = function.immediate()?(parts);
            known.as_ref()
        }
    };
    Some(decide(throttle, settings, lane, memory, cost, who, Decide))
}

/// Decides a request's hit, and goes on by what came of it, if nothing but headers may be left to do for one
/// that passes. `app` is what the throttle falls back to.
#[cfg(feature = "tower")]
#[inline(always)]
pub(crate) fn request<T: Then>(
    throttle: &Throttle,
    parts: &Parts,
    app: Option<&Traffik>,
    then: T,
) -> Option<T::Output> {
    let settings = throttle.built()?;
    let lane = settings.lane.as_ref().filter(|lane| lane.leaves_nothing_to_do)?;
    let cost = lane.cost(throttle, true, None)?;
    if cost == 0 {
        observe::exempt(Op::Hit, throttle);
        return Some(then.exempt());
    }
    let memory = lane.memory(|| app)?;
    Some(match (&settings.identifier, &lane.gauged) {
        (None, Some(gauged)) => {
            let key = lane.key ^ client_ip::hash(parts, app);
            Direct { throttle, lane, gauged, memory, key, cost }.take(then)
        }
        (None, None) => {
            let who = Who::of(client_ip::kind(parts, app));
            decide(throttle, settings, lane, memory, cost, who, then)
        }
        (Some(function), _) => {
            // Looked at where its function puts it: moving an identity takes longer than an exemption should.
            let client = function.immediate()?(parts);
            if client.is_exempted() {
                observe::exempt(Op::Hit, throttle);
                return Some(then.exempt());
            }
            decide(throttle, settings, lane, memory, cost, client.as_ref(), then)
        }
    })
}

/// Decides the hit of a client that may be anyone's making.
#[inline(always)]
fn decide<T: Then>(
    throttle: &Throttle,
    settings: &Settings,
    lane: &Lane,
    memory: &MemoryBackend,
    cost: u64,
    who: Who<'_>,
    then: T,
) -> T::Output {
    if cost == 0 || who.is_exempted() {
        observe::exempt(Op::Hit, throttle);
        return then.exempt();
    }
    let key = lane.key ^ lane.keys.client(who.kind);
    match &lane.gauged {
        Some(gauged) => Direct { throttle, lane, gauged, memory, key, cost }.take(then),
        None => {
            let hit = Hit::keyed(&lane.policy, who, key, settings.fixed_scope(), cost);
            then.decided(told(throttle, lane, cost, memory.decide_one(Op::Hit, &hit).1))
        }
    }
}

#[inline(always)]
fn tell_admitted(throttle: &Throttle, cost: u64, remaining: impl FnOnce() -> u64) {
    observe::hit(Op::Hit, throttle, MemoryBackend::NAME, HitOutcome::Allowed, cost, remaining, None);
}

#[cold]
fn refused(throttle: &Throttle, lane: &Lane, cost: u64, verdict: &Verdict) -> Decision {
    let (left, wait) = (verdict.remaining, verdict.retry_after());
    observe::hit(Op::Hit, throttle, MemoryBackend::NAME, HitOutcome::Denied, cost, || left, wait);
    Decision::new(&lane.policy, cost, verdict)
}

#[cold]
fn first(
    throttle: &Throttle,
    lane: &Lane,
    gauged: &Gauged,
    memory: &MemoryBackend,
    key: u64,
    cost: u64,
    now: u64,
) -> Decision {
    told(throttle, lane, cost, memory.first_hit(key, now, &gauged.account, cost))
}

fn told(throttle: &Throttle, lane: &Lane, cost: u64, verdict: Verdict) -> Decision {
    if !verdict.admitted {
        return refused(throttle, lane, cost, &verdict);
    }
    tell_admitted(throttle, cost, || verdict.remaining);
    Decision::Allowed(Stat::new(&lane.policy, &verdict))
}

fn exempt(throttle: &Throttle) -> Decision {
    observe::exempt(Op::Hit, throttle);
    Decision::Exempt
}
