//! The shortest way of all: a hit by one throttle that counts in memory and was not changed since it
//! was built.
//!
//! Nothing is decided differently here than by [`decide`](super::decide): what leads to the decision
//! is worked out when the throttle is built, so that a hit is a hash and a step. Where the strategy is a
//! bucket all of it stays in registers, from the poll of the hit's future to its result. Whatever does
//! not fit takes the other way, and nothing of the user's runs before it is known which.

mod stack;

pub(crate) use stack::{Stacked, stack};

use crate::app::Traffik;
use crate::backend::{Hit, Op, SharedBackend, Verdict};
use crate::client_ip;
use crate::decision::{Decision, Stat};
use crate::identity::{Identity, KindRef, Who};
use crate::key;
use crate::observe::{self, Outcome};
use crate::policy::Policy;
use crate::request_fn::Source;
use crate::settings::{BackendSetting, RateSetting, Settings};
use crate::strategy::Account;
use crate::subject::Subject;
use crate::throttle::Throttle;
use crate::{MemoryBackend, Parts};

/// What does not change from hit to hit.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    policy: Policy,
    /// Where the strategy is a bucket.
    account: Option<Account>,
    /// The key but for the identity.
    key: u64,
    /// What a hit costs outside HTTP; there a computed cost is 1.
    cost: u64,
    /// Whether requests cost something else each.
    is_computed: bool,
    /// The throttle's own store; `None` to inherit one.
    own: Option<SharedBackend>,
}

impl Lane {
    /// That of settings, if they leave nothing to be asked.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let RateSetting::Fixed(policy) = &settings.rate else { return None };
        let own = match &settings.backend {
            BackendSetting::Own(own) => Some(own.clone()),
            BackendSetting::Inherit => None,
            BackendSetting::Dynamic(_) => return None,
        };
        if !settings.quick || policy.rate().is_unlimited() || own.as_ref().is_some_and(|own| !own.is_memory())
        {
            return None;
        }
        let cost = if let Source::Fixed(cost) = settings.cost { Some(cost) } else { None };
        Some(Self {
            account: policy.account().copied(),
            key: key::of(policy, 0, scope(settings)),
            cost: cost.unwrap_or(1),
            is_computed: cost.is_none(),
            own,
            policy: policy.clone(),
        })
    }
}

impl Lane {
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
    fn backend<'a>(&'a self, app: Option<&'a Traffik>) -> Option<(&'a SharedBackend, &'a MemoryBackend)> {
        let backend = match &self.own {
            Some(own) => own,
            None => super::inherited(app)?,
        };
        Some((backend, backend.memory()?))
    }
}

fn scope(settings: &Settings) -> Option<&str> {
    match &settings.scope {
        Some(Source::Fixed(scope)) => Some(scope),
        _ => None,
    }
}

/// A hit that is about to be taken. By value all the way, so that it never has to be anywhere.
#[derive(Clone, Copy)]
struct Ready<'a> {
    throttle: &'a Throttle,
    lane: &'a Lane,
    backend: &'a SharedBackend,
    memory: &'a MemoryBackend,
    cost: u64,
}

/// The same by its key, on a bucket.
#[derive(Clone, Copy)]
pub(crate) struct Direct<'a> {
    ready: Ready<'a>,
    account: &'a Account,
    key: u64,
}

/// The hit, if its subject is a plain identity and the strategy a bucket.
///
/// Inlined always, here and below: arguments and results would travel through memory.
#[inline(always)]
pub(crate) fn direct<'a>(
    throttle: &'a Throttle,
    subject: &Subject<'_>,
    units: Option<u64>,
) -> Option<Direct<'a>> {
    let lane = throttle.built()?.lane.as_ref()?;
    let account = lane.account.as_ref()?;
    let cost = lane.cost(throttle, false, units).filter(|cost| *cost > 0)?;
    let (backend, memory) = lane.backend(Traffik::of(None))?;
    let key = lane.key ^ key::client(subject.plain()?);
    Some(Direct { ready: Ready { throttle, lane, backend, memory, cost }, account, key })
}

/// Decides a hit of whatever subject.
pub(crate) fn hit(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    let taken = match (subject.parts(), subject.who()) {
        (Some(parts), _) => request(throttle, parts, units)?,
        (None, who) => {
            let settings = throttle.built()?;
            let lane = settings.lane.as_ref()?;
            let cost = lane.cost(throttle, false, units)?;
            let (backend, memory) = lane.backend(Traffik::of(None))?;
            Ready { throttle, lane, backend, memory, cost }.decide(settings, who?)
        }
    };
    Some(taken.map_or_else(|other| other, Decision::Allowed))
}

/// Decides a request's hit.
#[inline(always)]
pub(crate) fn request(
    throttle: &Throttle,
    parts: &Parts,
    units: Option<u64>,
) -> Option<Result<Stat, Decision>> {
    let settings = throttle.built()?;
    let lane = settings.lane.as_ref()?;
    let cost = lane.cost(throttle, true, units)?;
    if cost == 0 {
        return Some(Err(exempt(throttle)));
    }
    let app = Traffik::of(Some(parts));
    let (backend, memory) = lane.backend(app)?;
    let mut known = None;
    let who = identify(settings, parts, app, &mut known)?;
    Some(Ready { throttle, lane, backend, memory, cost }.decide(settings, who))
}

/// Whom a request is from, where that is told at once. `known` is room for an identity of the user's
/// making.
#[inline(always)]
fn identify<'a>(
    settings: &Settings,
    parts: &Parts,
    app: Option<&Traffik>,
    known: &'a mut Option<Identity>,
) -> Option<Who<'a>> {
    Some(match &settings.identifier {
        Some(function) => known.insert(function.call_now(parts)?).as_ref(),
        None => Who::of(client_ip::address(parts, app).map_or(KindRef::Anonymous, KindRef::Ip)),
    })
}

impl Direct<'_> {
    /// Takes the hit: the client's state if it passed, the decision if it did not, or if it was the
    /// client's first.
    #[inline(always)]
    pub(crate) fn take(self) -> Result<Stat, Decision> {
        let Self { ready, account, key } = self;
        match ready.memory.hit(key, account, ready.cost) {
            Ok(verdict) if verdict.admitted => {
                ready.tell_admitted(&verdict);
                Ok(Stat::new(&ready.lane.policy, &verdict))
            }
            Ok(verdict) => Err(ready.refused(Verdict { admitted: false, ..verdict })),
            Err(now) => Err(ready.first(key, account, now)),
        }
    }
}

impl Ready<'_> {
    /// Takes the hit of a client that may be anyone's making.
    #[inline(always)]
    fn decide(self, settings: &Settings, who: Who<'_>) -> Result<Stat, Decision> {
        if self.cost == 0 || who.is_exempted() {
            return Err(exempt(self.throttle));
        }
        let hash = key::client(who.kind);
        match &self.lane.account {
            Some(account) => Direct { ready: self, account, key: self.lane.key ^ hash }.take(),
            None => Err(self.by_strategy(settings, who, hash)),
        }
    }

    #[inline(never)]
    fn by_strategy(self, settings: &Settings, who: Who<'_>, hash: u64) -> Decision {
        let key = self.lane.key ^ hash;
        let hit = Hit::keyed(&self.lane.policy, who, key, scope(settings), self.cost);
        self.told(self.memory.decide_one(Op::Hit, &hit).1)
    }

    #[inline(always)]
    fn tell_admitted(self, verdict: &Verdict) {
        let Self { throttle, backend, cost, .. } = self;
        observe::hit(Op::Hit, throttle, backend, Outcome::Allowed, cost, verdict.remaining, None);
    }

    #[cold]
    fn refused(self, verdict: Verdict) -> Decision {
        let Self { throttle, backend, cost, .. } = self;
        let (left, wait) = (verdict.remaining, verdict.retry_after());
        observe::hit(Op::Hit, throttle, backend, Outcome::Denied, cost, left, wait);
        Decision::new(&self.lane.policy, cost, &verdict)
    }

    #[cold]
    fn first(self, key: u64, account: &Account, now: u64) -> Decision {
        self.told(self.memory.first_hit(key, now, account, self.cost))
    }

    fn told(self, verdict: Verdict) -> Decision {
        if !verdict.admitted {
            return self.refused(verdict);
        }
        self.tell_admitted(&verdict);
        Decision::Allowed(Stat::new(&self.lane.policy, &verdict))
    }
}

fn exempt(throttle: &Throttle) -> Decision {
    observe::exempt(Op::Hit, throttle);
    Decision::Exempt
}
