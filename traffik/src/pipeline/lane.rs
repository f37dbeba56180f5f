//! The shortest way of all: a hit by one throttle that counts in memory and was not changed since it
//! was built.
//!
//! Nothing is decided differently here than by [`decide`](super::decide): what leads to the decision
//! is worked out when the throttle is built, so that a hit is a hash and a step, and all of it stays
//! in registers where the strategy is a bucket. It is worth a third of a direct call's time; whatever does not fit takes the other way.

use crate::MemoryBackend;
use crate::backend::{Hit, Op, SharedBackend, Verdict};
use crate::client_ip::client_ip;
use crate::decision::Decision;
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
    /// Where the strategy is a bucket.
    account: Option<Account>,
    /// `None`: computed from the request.
    cost: Option<u64>,
    /// The key but for the identity.
    key: u64,
}

impl Lane {
    /// That of settings, if they leave nothing to be asked.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let (RateSetting::Fixed(policy), true) = (&settings.rate, settings.quick) else { return None };
        let cost = if let Source::Fixed(cost) = settings.cost { Some(cost) } else { None };
        Some(Self { account: policy.account().copied(), cost, key: key::of(policy, 0, scope(settings)) })
    }
}

fn scope(settings: &Settings) -> Option<&str> {
    match &settings.scope {
        Some(Source::Fixed(scope)) => Some(scope),
        _ => None,
    }
}

/// Decides the hit, if it can come this way. Nothing of the user's runs before that is known.
///
/// Inlined always, here and below: where the caller's own crate decides otherwise, arguments and results
/// travel through memory, for a quarter of the time.
#[inline(always)]
pub(crate) fn hit(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    let settings = throttle.built()?;
    let (Some(lane), RateSetting::Fixed(policy)) = (&settings.lane, &settings.rate) else { return None };
    let parts = subject.parts();
    // Outside HTTP a computed cost is 1.
    let cost = units.or(lane.cost).or(if parts.is_none() { Some(1) } else { None })?;
    if cost == 0 || !throttle.is_enabled() {
        observe::exempt(Op::Hit, throttle);
        return Some(Decision::Exempt);
    }
    let backend = match &settings.backend {
        BackendSetting::Own(backend) => backend,
        BackendSetting::Inherit => super::inherited(parts)?,
        BackendSetting::Dynamic(_) => return None,
    };
    let memory = backend.memory()?;
    let (None, Some(account)) = (parts, &lane.account) else {
        return wider(throttle, settings, lane, subject, memory, backend, policy, cost);
    };
    let client = key::identity(&subject.plain()?);
    let verdict = memory.hit(lane.key ^ client, account, cost);
    Some(told(throttle, backend, policy, cost, &verdict))
}

/// The same for requests, and for other strategies: with the identity as a whole.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
fn wider(
    throttle: &Throttle,
    settings: &Settings,
    lane: &Lane,
    subject: &Subject<'_>,
    memory: &MemoryBackend,
    backend: &SharedBackend,
    policy: &Policy,
    cost: u64,
) -> Option<Decision> {
    let identity;
    let who = match subject.parts() {
        Some(parts) => {
            identity = match &settings.identifier {
                Some(function) => function.call_now(parts)?,
                None => client_ip(parts),
            };
            identity.as_ref()
        }
        None => subject.plain()?,
    };
    if who.is_exempted() {
        observe::exempt(Op::Hit, throttle);
        return Some(Decision::Exempt);
    }
    let hash = key::identity(&who);
    let verdict = match &lane.account {
        Some(account) => memory.hit(lane.key ^ hash, account, cost),
        None => memory.decide_one(Op::Hit, &Hit::new(policy, who, hash, scope(settings), cost)).1,
    };
    Some(told(throttle, backend, policy, cost, &verdict))
}

#[inline(always)]
fn told(
    throttle: &Throttle,
    backend: &SharedBackend,
    policy: &Policy,
    cost: u64,
    verdict: &Verdict,
) -> Decision {
    if !verdict.admitted {
        return refused(throttle, backend, policy, cost, verdict);
    }
    observe::hit(Op::Hit, throttle, backend, Outcome::Allowed, cost, verdict.remaining, None);
    Decision::new(policy, cost, verdict)
}

#[cold]
fn refused(
    throttle: &Throttle,
    backend: &SharedBackend,
    policy: &Policy,
    cost: u64,
    verdict: &Verdict,
) -> Decision {
    let (left, wait) = (verdict.remaining, verdict.retry_after());
    observe::hit(Op::Hit, throttle, backend, Outcome::Denied, cost, left, wait);
    Decision::new(policy, cost, verdict)
}
