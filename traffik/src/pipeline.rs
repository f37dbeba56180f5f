//! The pipeline of one request, and the order of its steps:
//!
//! 1. disabled, or a rule skips it → passes, nothing touched
//! 2. the cost; 0 → passes, before the identifier runs
//! 3. the identifier; exempted → passes *that* throttle: no key, no lock, no backend
//! 4. the rate; unlimited → passes
//! 5. the backend, static or dynamic
//! 6. all hits on one backend: one call, decided together
//! 7. the decisions
//!
//! Attribute, layer, socket and direct calls all come through [`decide`], or one of the short ways beside it, which take
//! the same steps for the most frequent cases: `quick` where nothing has to wait, `lane` for one to five throttles in
//! memory, `recall` for remembered refusals. `traffik/tests/http/short_ways.rs` compares each with [`decide`].

mod charge;
#[cfg(feature = "memory")]
mod lane;
mod paid;
mod quick;
mod recall;

use smallvec::SmallVec;

use crate::app::{Traffik, process_memory};
use crate::backend::{BoxFuture, Hit, Op, SharedBackend, context};
use crate::client_ip::client_ip;
use crate::decision::Decision;
use crate::error::Error;
use crate::identity::Identity;
use crate::key;
use crate::observe::{self, Outcome};
use crate::policy::Policy;
use crate::request_fn::{RequestFn, Source};
use crate::resilience::{self, OnError, Outage};
use crate::rules;
use crate::settings::{BackendSetting, Present, RateSetting, Settings};
use crate::subject::Subject;
use crate::throttle::Throttle;

use charge::outage;
#[cfg(feature = "memory")]
pub(crate) use lane::{Lane, Passed, Then, direct};
#[cfg(all(feature = "memory", feature = "tower"))]
pub(crate) use lane::{Together, pair, request, stack};
pub(crate) use quick::quick;
#[cfg(feature = "tower")]
pub(crate) use recall::hit as recall;

/// One throttle of a request, with what the place of its use says otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) throttle: &'a Throttle,
    pub(crate) overrides: Option<&'a Overrides>,
}

/// What a use of a shared throttle may say differently from its declaration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) cost: Option<Source<u64>>,
    pub(crate) scope: Option<Source<String>>,
    pub(crate) shadow: Option<bool>,
    /// Whether the charge may have to be given back.
    pub(crate) receipt: bool,
}

impl Overrides {
    /// Whether nothing of it has to wait, and all of it counts for real.
    fn quick(&self) -> bool {
        self.cost.as_ref().is_none_or(Source::is_sync) && self.scope.is_none() && self.shadow != Some(true)
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn new(throttle: &'a Throttle) -> Self {
        Self { throttle, overrides: None }
    }
}

/// The decisions of one request, one a throttle, in their order.
#[derive(Debug)]
pub(crate) struct Ruling {
    pub(crate) each: SmallVec<[Ruled; 2]>,
    /// The first refusal that counts.
    pub(crate) refused: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Ruled {
    pub(crate) decision: Decision,
    /// The refusal of a throttle in shadow mode turns nobody away.
    pub(crate) shadow: bool,
    /// Its policy's [window](Policy::window), for headers.
    pub(crate) window: u64,
    /// What was charged, for giving it back.
    pub(crate) charged: Option<Receipt>,
    /// What its backend said; `None` if it was not asked.
    outcome: Option<Outcome>,
    /// How many of its backends failed before.
    failed: usize,
}

impl Ruling {
    /// Nothing counted for any of them.
    pub(crate) fn exempt(throttles: usize) -> Self {
        let exempt = || Ruled {
            decision: Decision::Exempt,
            shadow: false,
            window: 0,
            charged: None,
            outcome: None,
            failed: 0,
        };
        Self { each: (0..throttles).map(|_| exempt()).collect(), refused: None }
    }

    /// That of throttles of which nothing may be wanted back, with the periods of their rates.
    #[cfg(feature = "tower")]
    pub(crate) fn of(each: impl IntoIterator<Item = (Decision, u64)>) -> Self {
        let rule = |(decision, window)| Ruled {
            decision,
            shadow: false,
            window,
            charged: None,
            outcome: None,
            failed: 0,
        };
        let each: SmallVec<_> = each.into_iter().map(rule).collect();
        let refused = each.iter().position(|ruled: &Ruled| !ruled.decision.is_allowed());
        Self { each, refused }
    }

    /// The decision on the request as a whole.
    pub(crate) fn into_decision(mut self) -> Decision {
        if let Some(refused) = self.refused {
            return self.each.swap_remove(refused).decision;
        }
        // The account nearest to its limit speaks for the rest.
        self.each
            .into_iter()
            .filter(|ruled| !matches!(ruled.decision, Decision::Denied(_)))
            .map(|ruled| ruled.decision)
            .min_by_key(|decision| decision.stat().map_or(u64::MAX, |stat| stat.remaining))
            .unwrap_or(Decision::Exempt)
    }
}

/// What was charged where: all it takes to give it back later.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) policy: Policy,
    pub(crate) identity: Identity,
    pub(crate) scope: Option<String>,
    pub(crate) backend: SharedBackend,
    /// When, by the backend's clock.
    pub(crate) at: u64,
    /// From when on nothing is left of it.
    pub(crate) gone_at: u64,
    /// How much.
    pub(crate) cost: u64,
}

impl Receipt {
    fn new(hit: &Hit<'_>, backend: &SharedBackend, at: u64, cost: u64) -> Self {
        Self {
            policy: hit.policy.clone(),
            identity: hit.who.to_identity(),
            scope: hit.scope.map(Into::into),
            backend: backend.clone(),
            at,
            gone_at: hit.gone_at,
            cost,
        }
    }

    /// The same account, and other units.
    pub(crate) fn hit(&self, units: u64) -> Hit<'_> {
        let who = self.identity.as_ref();
        let hit = Hit::new(&self.policy, who, key::identity(&who), self.scope.as_deref(), units);
        Hit { gone_at: self.gone_at, ..hit }
    }

    /// Gives `units` of the charge back, into the window it was made in.
    pub(crate) async fn give_back(&self, units: u64) -> Result<(), Error> {
        self.refund(units, self.at, self.gone_at).await
    }

    /// The same of what the account was charged at another instant.
    pub(crate) async fn refund(&self, units: u64, at: u64, gone_at: u64) -> Result<(), Error> {
        let hit = Hit { gone_at, ..self.hit(units) };
        let refund = Op::Refund { at: Some(at) };
        resilience::call(&self.backend, refund, &[hit]).await.map_err(Error::backend)?;
        Ok(())
    }
}

/// Why there is no ruling.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) outage: Outage,
}

impl Failure {
    fn configuration(error: Error) -> Self {
        tracing::error!(target: "traffik", %error, "a throttle cannot be used as it is set up");
        Self { error, outage: Outage::Raise }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// A hit that has come through the first five steps.
struct Candidate<'a> {
    entry: usize,
    cost: u64,
    /// Index into the request's identities.
    identity: usize,
    policy: PolicyOf<'a>,
    scope: Option<String>,
    backend: Resolved<'a>,
    on_error: OnError,
    shadow: bool,
    /// Whether somebody may want the charge back.
    receipt: bool,
}

impl Candidate<'_> {
    /// The backend to ask when `failed` of them have failed.
    fn asked(&self, failed: usize) -> Option<&SharedBackend> {
        match failed.checked_sub(1) {
            None => Some(self.backend.get()),
            Some(fallback) => self.on_error.next(fallback),
        }
    }
}

enum PolicyOf<'a> {
    Kept(&'a Policy),
    Made(Box<Policy>),
}

impl PolicyOf<'_> {
    fn get(&self) -> &Policy {
        match self {
            Self::Kept(policy) => policy,
            Self::Made(policy) => policy,
        }
    }
}

enum Resolved<'a> {
    Ref(&'a SharedBackend),
    Own(SharedBackend),
}

impl Resolved<'_> {
    fn get(&self) -> &SharedBackend {
        match self {
            Self::Ref(backend) => backend,
            Self::Own(backend) => backend,
        }
    }
}

/// Who a request is, by one identifier. Run once, however many throttles ask.
struct Known<'a> {
    by: Option<&'a RequestFn<Identity>>,
    identity: Identity,
    hash: u64,
}

/// One throttle's decision, where nothing has to wait for it.
#[inline]
pub(crate) fn at_once(
    throttle: &Throttle,
    subject: &Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Option<Result<Decision, Error>> {
    if op == Op::Hit
        && let Some(decision) = short(throttle, subject, units)
    {
        return Some(Ok(decision));
    }
    quick::single(throttle, subject, op, units)
}

/// One throttle's decision on a hit by one of the shortest ways, if they lead anywhere.
#[inline]
fn short(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    #[cfg(feature = "memory")]
    if let Some(decision) = lane::hit(throttle, subject, units) {
        return Some(decision);
    }
    recall::hit(throttle, subject, units)
}

/// Decides a request under all its throttles: all or nothing.
///
/// `units` replaces the cost of every throttle. Boxed, so that all who wait for it share one piece of code.
pub(crate) fn decide<'a>(
    entries: &'a [Entry<'a>],
    subject: Subject<'a>,
    op: Op,
    units: Option<u64>,
) -> BoxFuture<'a, Result<Ruling, Failure>> {
    Box::pin(decide_in_steps(entries, subject, op, units))
}

async fn decide_in_steps(
    entries: &[Entry<'_>],
    subject: Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Result<Ruling, Failure> {
    let all: SmallVec<[Present<'_>; 2]> = entries.iter().map(|entry| entry.throttle.settings()).collect();
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut known: SmallVec<[Known<'_>; 1]> = SmallVec::new();
    for (index, (entry, settings)) in entries.iter().zip(&all).enumerate() {
        let prepared = prepare(index, entry, settings, &subject, op, units, &mut known).await;
        candidates.extend(prepared.map_err(Failure::configuration)?);
    }

    let mut ruling = Ruling::exempt(entries.len());
    let done = charge::all(&candidates, &subject, &known, op, &mut ruling).await;
    tell(op, entries, &candidates, &ruling, done.is_ok() && ruling.refused.is_none());
    done.map(|()| ruling)
}

/// Tells what came of each throttle of a request that was admitted as a whole or not.
fn tell(op: Op, entries: &[Entry<'_>], candidates: &[Candidate<'_>], ruling: &Ruling, admitted: bool) {
    let mut candidates = candidates.iter().peekable();
    for (index, (entry, ruled)) in entries.iter().zip(&ruling.each).enumerate() {
        let Some(candidate) = candidates.next_if(|candidate| candidate.entry == index) else {
            observe::exempt(op, entry.throttle);
            continue;
        };
        let outcome = match ruled.outcome {
            Some(Outcome::Allowed) if !admitted && !candidate.shadow => Outcome::Uncharged,
            told => told.unwrap_or(Outcome::Uncharged),
        };
        let stat = ruled.decision.stat();
        let (remaining, wait) = stat.map_or((0, None), |stat| (stat.remaining, stat.retry_after));
        let backend = candidate.asked(ruled.failed).unwrap_or(candidate.backend.get());
        observe::hit(op, entry.throttle, backend.name(), outcome, candidate.cost, || remaining, wait);
    }
}

/// Steps one to five for one throttle; `None` when it lets the request pass uncounted.
async fn prepare<'a>(
    index: usize,
    entry: &Entry<'a>,
    settings: &'a Settings,
    subject: &Subject<'a>,
    op: Op,
    units: Option<u64>,
    known: &mut SmallVec<[Known<'a>; 1]>,
) -> Result<Option<Candidate<'a>>, Error> {
    let parts = subject.parts();
    let counts = matches!(op, Op::Hit | Op::Check);
    if counts {
        if !entry.throttle.is_enabled() {
            return Ok(None);
        }
        if let Some(parts) = parts
            && !settings.rules.is_empty()
            && rules::skip(&settings.rules, parts).await
        {
            return Ok(None);
        }
    }

    let cost = entry.overrides.and_then(|o| o.cost.as_ref()).unwrap_or(&settings.cost);
    let cost = match (units, cost, parts) {
        (Some(units), ..) => units,
        (None, Source::Fixed(cost), _) => *cost,
        (None, Source::Of(function), Some(parts)) => function.call(parts).await,
        (None, Source::Of(_), None) => 1,
    };
    if counts && cost == 0 && op == Op::Hit {
        return Ok(None);
    }

    let identity = match parts {
        None if subject.is_exempted() => return Ok(None),
        None => {
            if let (true, Some(who)) = (known.is_empty(), subject.who()) {
                // Only the hash is remembered: the identity itself stays in the subject.
                known.push(Known { by: None, identity: crate::ANONYMOUS, hash: key::identity(&who) });
            }
            0
        }
        Some(parts) => {
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
                        Some(function) => function.call(parts).await,
                        None => client_ip(parts),
                    };
                    let hash = if identity.is_exempted() { 0 } else { key::identity(&identity.as_ref()) };
                    known.push(Known { by, identity, hash });
                    known.len() - 1
                }
            };
            if known[place].identity.is_exempted() {
                return Ok(None);
            }
            place
        }
    };

    let policy = match &settings.rate {
        RateSetting::Fixed(policy) => PolicyOf::Kept(policy),
        RateSetting::Of(function, strategy) => {
            let Some(parts) = parts else {
                return Err(Error::configuration(format!(
                    "throttle {:?} computes its rate from the request, but was asked about an identity; \
                     pass the request's parts",
                    entry.throttle.uid()
                )));
            };
            let rate = function.call(parts).await;
            PolicyOf::Made(Box::new(Policy::new(entry.throttle.uid(), rate, strategy.clone())?))
        }
    };
    if policy.get().rate().is_unlimited() {
        return Ok(None);
    }

    let scope = match (entry.overrides.and_then(|o| o.scope.as_ref()).or(settings.scope.as_ref()), parts) {
        (None, _) => None,
        (Some(Source::Fixed(scope)), _) => Some(scope.clone()),
        (Some(Source::Of(function)), Some(parts)) => Some(function.call(parts).await),
        (Some(Source::Of(_)), None) => None,
    };

    let backend = match &settings.backend {
        BackendSetting::Own(backend) => Resolved::Ref(backend),
        BackendSetting::Inherit => {
            Resolved::Ref(inherited(Traffik::of(parts)).ok_or_else(|| no_backend(entry.throttle.uid()))?)
        }
        BackendSetting::Dynamic(resolve) => {
            let told = match (resolve, parts) {
                (Some(resolve), Some(parts)) => resolve.call(parts).await,
                _ => None,
            };
            match told.or_else(context::current) {
                Some(backend) => Resolved::Own(backend),
                None => Resolved::Ref(
                    Traffik::of(parts)
                        .and_then(Traffik::backend)
                        .ok_or_else(|| no_context(entry.throttle.uid()))?,
                ),
            }
        }
    };
    let on_error = match &settings.on_error {
        Some(on_error) => on_error.clone(),
        None => Traffik::of(parts).and_then(Traffik::on_error).cloned().unwrap_or_default(),
    };
    let shadow = entry.overrides.and_then(|o| o.shadow).unwrap_or(settings.shadow);
    let receipt = entry.overrides.is_some_and(|o| o.receipt);
    Ok(Some(Candidate { entry: index, cost, identity, policy, scope, backend, on_error, shadow, receipt }))
}

/// The backend of a static throttle without one of its own. `app` is the router's, or else the
/// installed one.
#[inline(always)]
fn inherited(app: Option<&Traffik>) -> Option<&SharedBackend> {
    match app {
        None => process_memory(),
        Some(app) => inherited_from(app),
    }
}

#[inline(never)]
fn inherited_from(app: &Traffik) -> Option<&SharedBackend> {
    match app.backend() {
        None => process_memory(),
        found => found,
    }
}

fn no_backend(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} has no backend: this build has no in-memory default (feature `memory`), and none is \
         installed; call traffik::install, or give the throttle one with .backend(..)"
    ))
}

fn no_context(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} looks its backend up at every request and found none; put a BackendLayer or a Traffik \
         layer around the route, run it in backend.scope(..), or call traffik::install"
    ))
}

/// Decides several throttles as one: all are charged, or none.
///
/// # Errors
/// As [`Throttle::hit`].
pub async fn hit_all<'a>(
    throttles: impl IntoIterator<Item = &'a Throttle>,
    subject: impl crate::subject::IntoSubject<'a>,
) -> Result<Decision, Error> {
    let entries: SmallVec<[Entry<'_>; 4]> = throttles.into_iter().map(Entry::new).collect();
    let subject = subject.into_subject();
    if let Some(decision) = quick(&entries, &subject, Op::Hit, None, |quick| quick.into_decision()) {
        return Ok(decision?);
    }
    Ok(decide(&entries, subject, Op::Hit, None).await?.into_decision())
}
