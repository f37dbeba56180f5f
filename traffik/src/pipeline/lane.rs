//! The shortest way of all: a hit by one throttle that counts in memory and was not changed since it
//! was built.
//!
//! Nothing is decided differently here than by [`decide`](super::decide): what leads to the decision
//! is worked out when the throttle is built, so that a hit is a hash and a step. Where the strategy is a
//! bucket all of it stays in registers, from the poll of the hit's future to its result. Whatever does
//! not fit takes the other way.

use crate::MemoryBackend;
use crate::backend::{Hit, Op, SharedBackend, Verdict};
use crate::client_ip::client_ip;
use crate::decision::{Decision, Stat};
use crate::key;
use crate::observe::{self, Outcome};
use crate::policy::Policy;
use crate::request_fn::Source;
use crate::settings::{BackendSetting, RateSetting, Settings};
use crate::strategy::Account;
use crate::subject::Subject;
use crate::throttle::Throttle;

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
        if !settings.quick || policy.rate().is_unlimited() || own.as_ref().is_some_and(|own| !own.is_memory()) {
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
    let cost = units.unwrap_or(lane.cost);
    if cost == 0 || !throttle.is_enabled() {
        return None;
    }
    let backend = match &lane.own {
        Some(own) => own,
        None => super::inherited(None)?,
    };
    let memory = backend.memory()?;
    let key = lane.key ^ key::client(subject.plain()?);
    Some(Direct { ready: Ready { throttle, lane, backend, memory, cost }, account, key })
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

/// Decides a hit of a request, or one by another strategy. Nothing of the user's runs before it is known
/// that the hit can come this way.
pub(crate) fn hit(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    let settings = throttle.built()?;
    let lane = settings.lane.as_ref()?;
    let parts = subject.parts();
    let cost = match units {
        None if lane.is_computed && parts.is_some() => return None,
        units => units.unwrap_or(lane.cost),
    };
    if cost == 0 || !throttle.is_enabled() {
        return Some(exempt(throttle));
    }
    let backend = match &lane.own {
        Some(own) => own,
        None => super::inherited(parts)?,
    };
    let ready = Ready { throttle, lane, backend, memory: backend.memory()?, cost };
    let identity;
    let who = match (parts, subject.who()) {
        (Some(parts), _) => {
            identity = match &settings.identifier {
                Some(function) => function.call_now(parts)?,
                None => client_ip(parts),
            };
            identity.as_ref()
        }
        (None, who) => who?,
    };
    if who.is_exempted() {
        return Some(exempt(throttle));
    }
    let hash = key::identity(&who);
    Some(match &lane.account {
        Some(account) => Direct { ready, account, key: lane.key ^ hash }.take().map_or_else(|other| other, Decision::Allowed),
        None => {
            let hit = Hit::new(&lane.policy, who, hash, scope(settings), cost);
            ready.told(ready.memory.decide_one(Op::Hit, &hit).1)
        }
    })
}

fn exempt(throttle: &Throttle) -> Decision {
    observe::exempt(Op::Hit, throttle);
    Decision::Exempt
}
