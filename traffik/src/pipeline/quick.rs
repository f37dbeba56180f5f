//! The same steps where nothing has to wait: functions of the request that answer at once, and a
//! backend that does too. No future, no allocation, and nothing copied that nobody reads.
//!
//! Whether a request can come this way is known before any of its own code runs; if not, it takes
//! [`decide`](super::decide) from the start.

use std::slice::from_ref;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Entry, Failure, Receipt, Ruled, Ruling, inherited};
use crate::Parts;
use crate::app::Traffik;
use crate::backend::{BackendError, Hit, Op, SharedBackend, Verdict, Verdicts};
use crate::client_ip::client_ip;
use crate::decision::Decision;
use crate::error::Error;
use crate::identity::Identity;
use crate::key;
use crate::observe::{self, Outcome};
use crate::policy::Policy;
use crate::request_fn::{RequestFn, Source};
use crate::resilience::{OnError, Outage};
use crate::settings::{BackendSetting, Present, RateSetting, Settings};
use crate::subject::Subject;
use crate::throttle::Throttle;

/// A request that was decided, still in the store's own terms.
pub(crate) struct Quick<'a> {
    entries: &'a [Entry<'a>],
    planned: &'a [Planned],
    hits: &'a [Hit<'a>],
    verdicts: &'a Verdicts,
    backend: &'a SharedBackend,
}

/// A hit to be: the entry it is for, and the place of its client among the known.
struct Planned {
    entry: usize,
    known: usize,
    cost: u64,
    /// The place of its hit: equal keys share one.
    hit: usize,
}

struct Known<'a> {
    by: Option<&'a RequestFn<Identity>>,
    identity: Identity,
}

/// Decides the request if nothing has to wait, and hands the result to `read`; `None` otherwise.
#[inline]
pub(crate) fn quick<T>(
    entries: &[Entry<'_>],
    subject: &Subject<'_>,
    op: Op,
    units: Option<u64>,
    read: impl FnOnce(Quick<'_>) -> T,
) -> Option<Result<T, Failure>> {
    let parts = subject.parts();
    let all: SmallVec<[Present<'_>; 2]> = entries.iter().map(|entry| entry.throttle.settings()).collect();
    let backend = ready(entries, &all, parts)?;

    // Steps one to four.
    let mut planned: SmallVec<[Planned; 2]> = SmallVec::new();
    let mut known: SmallVec<[Known<'_>; 1]> = SmallVec::new();
    for (index, (entry, settings)) in entries.iter().zip(&all).enumerate() {
        let Some(cost) = cost(entry, settings, parts, op, units) else { continue };
        let place = match parts {
            None if subject.is_exempted() => continue,
            None => 0,
            Some(parts) => match identify(settings, parts, &mut known) {
                Some(place) => place,
                None => continue,
            },
        };
        let unlimited = matches!(&settings.rate, RateSetting::Fixed(policy) if policy.rate().is_unlimited());
        if !unlimited {
            planned.push(Planned { entry: index, known: place, cost, hit: 0 });
        }
    }

    // Steps five and six.
    let mut hits: SmallVec<[Hit<'_>; 2]> = SmallVec::new();
    let mut hash = (usize::MAX, 0);
    for plan in &mut planned {
        let (Some(settings), known) = (all.get(plan.entry), known.get(plan.known)) else { continue };
        let (RateSetting::Fixed(policy), Some(who)) =
            (&settings.rate, subject.who().or_else(|| known.map(|known| known.identity.as_ref())))
        else {
            continue;
        };
        if hash.0 != plan.known {
            hash = (plan.known, key::identity(&who));
        }
        let scope = match &settings.scope {
            Some(Source::Fixed(scope)) => Some(scope.as_str()),
            _ => None,
        };
        let hit = Hit::new(policy, who, hash.1, scope, plan.cost);
        plan.hit = match hits.iter().position(|other| other.hash == hit.hash) {
            Some(place) => {
                hits[place].cost = hits[place].cost.saturating_add(hit.cost);
                place
            }
            None => {
                hits.push(hit);
                hits.len() - 1
            }
        };
    }
    let mut failed = false;
    let mut verdicts = Verdicts { now: 0, each: SmallVec::new() };
    if !hits.is_empty()
        && let Err(error) = backend.decide_into(op, &hits, &mut verdicts)
    {
        for plan in &planned {
            let throttle = entries[plan.entry].throttle;
            observe::hit(op, throttle, backend.name(), Outcome::Failed, plan.cost, || 0, None);
        }
        // An outage that all of them let pass leaves no verdict, and so nothing counted.
        if let Some(failure) =
            super::outage(error, uid(&hits), planned.iter().map(|plan| on_error(&all[plan.entry], parts)))
        {
            return Some(Err(failure));
        }
        planned.clear();
        failed = true;
    }
    let quick = Quick { entries, planned: &planned, hits: &hits, verdicts: &verdicts, backend };
    if !failed {
        quick.observe(op);
    }
    Some(Ok(read(quick)))
}

/// One throttle alone: [`quick`] with nothing to collect.
pub(crate) fn single(
    throttle: &Throttle,
    subject: &Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Option<Result<Decision, Error>> {
    let (entry, settings, parts) = (Entry::new(throttle), throttle.settings(), subject.parts());
    let backend = ready(from_ref(&entry), from_ref(&settings), parts)?;
    let RateSetting::Fixed(policy) = &settings.rate else { return None };
    let Some(cost) = cost(&entry, &settings, parts, op, units) else {
        observe::exempt(op, throttle);
        return Some(Ok(Decision::Exempt));
    };
    let identity;
    let who = match (subject.who(), parts) {
        (Some(who), _) => who,
        (None, Some(parts)) => {
            identity = match &settings.identifier {
                Some(function) => function.call_now(parts)?,
                None => client_ip(parts),
            };
            identity.as_ref()
        }
        (None, None) => return None,
    };
    if who.is_exempted() || policy.rate().is_unlimited() {
        observe::exempt(op, throttle);
        return Some(Ok(Decision::Exempt));
    }
    let scope = match &settings.scope {
        Some(Source::Fixed(scope)) => Some(scope.as_str()),
        _ => None,
    };
    let hit = Hit::new(policy, who, key::identity(&who), scope, cost);
    let verdict = match backend.decide_one(op, &hit) {
        Ok(verdict) => verdict,
        Err(error) => {
            observe::hit(op, throttle, backend.name(), Outcome::Failed, cost, || 0, None);
            return Some(failed(error, policy, on_error(&settings, parts)));
        }
    };
    let outcome = Outcome::of(&verdict, true, false);
    observe::hit(op, throttle, backend.name(), outcome, cost, || verdict.remaining, wait(&verdict));
    Some(Ok(Decision::new(policy, cost, &verdict)))
}

#[cold]
fn failed(error: BackendError, policy: &Policy, on_error: Outage) -> Result<Decision, Error> {
    match super::outage(error, policy.uid(), std::iter::once(on_error)) {
        Some(failure) => Err(failure.into()),
        None => Ok(Decision::Exempt),
    }
}

/// The one backend that all of the throttles count on, if none of this has to wait.
#[inline]
fn ready<'a>(
    entries: &[Entry<'_>],
    all: &'a [Present<'_>],
    parts: Option<&'a Parts>,
) -> Option<&'a SharedBackend> {
    let mut one: Option<&SharedBackend> = None;
    for (entry, settings) in entries.iter().zip(all) {
        if !settings.quick || entry.overrides.is_some_and(|overrides| !overrides.quick()) {
            return None;
        }
        let backend = match &settings.backend {
            BackendSetting::Own(backend) => backend,
            BackendSetting::Inherit => inherited(Traffik::of(parts))?,
            BackendSetting::Dynamic(_) => return None,
        };
        match one {
            Some(one) if !one.same(backend) => return None,
            _ => one = Some(backend),
        }
    }
    // The in-memory store cannot fail; whoever can may need more than one call.
    let plain = || all.iter().all(|settings| has_last_word(settings, parts));
    one.filter(|backend| backend.is_memory() || (backend.is_immediate() && plain()))
}

/// Steps one and two; `None` when it passes uncounted.
#[inline]
fn cost(
    entry: &Entry<'_>,
    settings: &Settings,
    parts: Option<&Parts>,
    op: Op,
    units: Option<u64>,
) -> Option<u64> {
    let counts = matches!(op, Op::Hit | Op::Check);
    if counts && !entry.throttle.is_enabled() {
        return None;
    }
    let source = entry.overrides.and_then(|overrides| overrides.cost.as_ref()).unwrap_or(&settings.cost);
    let cost = match (units, source, parts) {
        (Some(units), ..) => units,
        (None, Source::Fixed(cost), _) => *cost,
        (None, Source::Of(function), Some(parts)) => function.call_now(parts)?,
        (None, Source::Of(_), None) => 1,
    };
    (cost > 0 || op != Op::Hit).then_some(cost)
}

/// Step three; `None` when the client is exempt.
#[inline]
fn identify<'a>(
    settings: &'a Settings,
    parts: &Parts,
    known: &mut SmallVec<[Known<'a>; 1]>,
) -> Option<usize> {
    let by = settings.identifier.as_ref();
    let before = known.iter().position(|known| match (known.by, by) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same(b),
        _ => false,
    });
    let place = match before {
        Some(place) => place,
        None => {
            let identity = match by {
                Some(function) => function.call_now(parts)?,
                None => client_ip(parts),
            };
            known.push(Known { by, identity });
            known.len() - 1
        }
    };
    (!known[place].identity.is_exempted()).then_some(place)
}

/// The throttle that speaks for a batch in events.
fn uid(hits: &[Hit<'_>]) -> &'static str {
    hits.first().map_or("", |hit| hit.policy.uid())
}

/// How long the refused are to wait.
#[inline]
fn wait(verdict: &Verdict) -> Option<Duration> {
    if verdict.admitted { None } else { verdict.retry_after() }
}

/// Whether a failure is answered without another call.
fn has_last_word(settings: &Settings, parts: Option<&Parts>) -> bool {
    match &settings.on_error {
        Some(on_error) => on_error.is_word(),
        None => Traffik::of(parts).and_then(Traffik::on_error).is_none_or(OnError::is_word),
    }
}

fn on_error(settings: &Settings, parts: Option<&Parts>) -> Outage {
    match &settings.on_error {
        Some(on_error) => on_error.outage(),
        None => Traffik::of(parts).and_then(Traffik::on_error).map_or(Outage::Unavailable, OnError::outage),
    }
}

impl<'a> Quick<'a> {
    fn verdict(&self, plan: &Planned) -> Option<(&'a Policy, &'a Verdict)> {
        Some((self.hits.get(plan.hit)?.policy, self.verdicts.each.get(plan.hit)?))
    }

    /// Tells what came of each throttle. Planned entries stand in their order.
    #[inline]
    fn observe(&self, op: Op) {
        let admitted = self.admitted();
        let mut planned = self.planned.iter().peekable();
        for (index, entry) in self.entries.iter().enumerate() {
            match planned.next_if(|plan| plan.entry == index) {
                Some(plan) => {
                    let Some((_, verdict)) = self.verdict(plan) else { continue };
                    let outcome = Outcome::of(verdict, admitted, false);
                    let (left, wait) = (verdict.remaining, wait(verdict));
                    observe::hit(op, entry.throttle, self.backend.name(), outcome, plan.cost, || left, wait);
                }
                None => observe::exempt(op, entry.throttle),
            }
        }
    }

    /// Whether the request may enter.
    #[inline]
    pub(crate) fn admitted(&self) -> bool {
        self.verdicts.admitted()
    }

    fn decision(&self, plan: &Planned) -> Decision {
        self.verdict(plan).map_or(Decision::Exempt, |(policy, verdict)| {
            Decision::new(policy, self.hits[plan.hit].cost, verdict)
        })
    }

    /// The decision on the request as a whole.
    #[inline]
    pub(crate) fn into_decision(self) -> Decision {
        let refused =
            self.planned.iter().find(|plan| self.verdict(plan).is_some_and(|(_, verdict)| !verdict.admitted));
        // The account nearest to its limit speaks for the rest.
        let nearest = || {
            self.planned
                .iter()
                .min_by_key(|plan| self.verdict(plan).map_or(u64::MAX, |(_, verdict)| verdict.remaining))
        };
        refused.or_else(nearest).map_or(Decision::Exempt, |plan| self.decision(plan))
    }

    /// All of it, throttle by throttle.
    pub(crate) fn into_ruling(self) -> Ruling {
        let mut ruling = Ruling::exempt(self.entries.len());
        let admitted = self.admitted();
        for plan in self.planned {
            let decision = self.decision(plan);
            if !decision.is_allowed() {
                ruling.refused.get_or_insert(plan.entry);
            }
            let receipt =
                admitted && self.entries[plan.entry].overrides.is_some_and(|overrides| overrides.receipt);
            let mut hit = self.hits[plan.hit];
            if let Some((_, verdict)) = self.verdict(plan) {
                hit.gone_at = self.verdicts.now.saturating_add(verdict.reset_after);
            }
            ruling.each[plan.entry] = Ruled {
                decision,
                shadow: false,
                outcome: None,
                failed: 0,
                window: hit.policy.window(),
                charged: receipt.then(|| Receipt::new(&hit, self.backend, self.verdicts.now, plan.cost)),
            };
        }
        ruling
    }
}
