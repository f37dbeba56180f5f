//! The pipeline of a request, step by step:
//!
//! 1. disabled, or skipped by a rule → passes, nothing is touched
//! 2. the cost; 0 → passes, before the identifier runs
//! 3. the identifier; exempted → passes *that* throttle: no key, no lock, no backend
//! 4. the rate; unlimited → passes
//! 5. the backend, static or dynamic
//! 6. all hits on one backend: one call, decided together
//! 7. the decisions
//!
//! The attribute, layers, sockets and direct calls all go through [`decide`], or through one of the fast
//! paths next to it, which take the same steps for the most common cases: `immediate` if nothing has to
//! wait, `fast_path` for one to five throttles in memory, `recall` for remembered refusals.
//! `traffik/tests/http/fast_paths.rs` compares each of them with [`decide`].

mod backends;
mod charge;
mod client;
mod decisions;
#[cfg(feature = "memory")]
mod fast_path;
mod immediate;
mod prepare;
mod recall;
mod receipt;
mod rollback;

use smallvec::SmallVec;

use crate::Parts;
use crate::backend::{BoxFuture, Hit, Op};
use crate::decision::Decision;
use crate::error::Error;
use crate::observe::{self, HitOutcome};
use crate::policy::Policy;
use crate::request_fn::{RequestFn, Source};
use crate::resilience::Outage;
use crate::settings::{Settings, SettingsRef};
use crate::subject::Subject;
use crate::throttle::Throttle;

pub(crate) use charge::correction_outage;
use charge::outage;
use client::IdentityCache;
pub(crate) use decisions::{Decisions, ThrottleDecision};
#[cfg(feature = "memory")]
pub(crate) use fast_path::{AdmittedHit, FastPath, HitContinuation, fast_hit};
#[cfg(all(feature = "memory", feature = "tower"))]
pub(crate) use fast_path::{StackContinuation, pair, request, stack};
pub(crate) use immediate::decide_now;
use prepare::{Candidate, Prepared, prepare};
#[cfg(feature = "tower")]
pub(crate) use recall::hit as recall;
pub(crate) use receipt::Receipt;

/// One throttle of a request, with the overrides of the place where it is used.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) throttle: &'a Throttle,
    pub(crate) overrides: Option<&'a Overrides>,
}

/// The settings of a shared throttle that a use of it may override.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) cost: Option<Source<u64>>,
    pub(crate) scope: Option<Source<String>>,
    pub(crate) shadow: Option<bool>,
    /// Whether the charge may have to be refunded.
    pub(crate) keeps_receipt: bool,
}

impl Overrides {
    /// Whether the overrides allow the `immediate` path: none of them has to wait, sets a scope or turns on
    /// shadow mode.
    fn is_immediate(&self) -> bool {
        self.cost.as_ref().is_none_or(Source::is_sync) && self.scope.is_none() && self.shadow != Some(true)
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn new(throttle: &'a Throttle) -> Self {
        Self { throttle, overrides: None }
    }

    /// For queries and corrections of an account, where shadow mode makes no difference.
    pub(crate) fn account(throttle: &'a Throttle) -> Self {
        static ACCOUNT: Overrides =
            Overrides { cost: None, scope: None, shadow: Some(false), keeps_receipt: false };
        Self { throttle, overrides: Some(&ACCOUNT) }
    }

    /// What the request costs. `units` replaces the cost; without a request to compute it from, it is 1.
    #[inline]
    fn cost(&self, settings: &'a Settings, units: Option<u64>, parts: Option<&'a Parts>) -> Cost<'a> {
        let cost = self.overrides.and_then(|overrides| overrides.cost.as_ref()).unwrap_or(&settings.cost);
        match (units, cost, parts) {
            (Some(units), ..) => Cost::Units(units),
            (None, Source::Fixed(cost), _) => Cost::Units(*cost),
            (None, Source::Of(function), Some(parts)) => Cost::Of(function, parts),
            (None, Source::Of(_), None) => Cost::Units(1),
        }
    }
}

/// The cost of a request, or the function that computes it.
enum Cost<'a> {
    Units(u64),
    Of(&'a RequestFn<u64>, &'a Parts),
}

/// The reason why there are no decisions.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) outage: Outage,
}

impl Failure {
    fn configuration(error: Error) -> Self {
        tracing::error!(target: "traffik", %error, "a throttle is misconfigured");
        Self { error, outage: Outage::Raise }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error.under(failure.outage)
    }
}

/// Decides one throttle, if nothing has to wait.
#[inline]
pub(crate) fn decide_one_now(
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
    let decided = decide_now(&[Entry::new(throttle)], subject, op, units, |decided| decided.into_decision())?;
    Some(decided.map_err(Error::from))
}

/// Decides a hit under one throttle by one of the fastest paths, if any of them applies.
#[inline]
fn short(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    #[cfg(feature = "memory")]
    if let Some(decision) = fast_path::hit(throttle, subject, units) {
        return Some(decision);
    }
    recall::hit(throttle, subject, units)
}

/// Decides a request under all its throttles: all or nothing.
///
/// `units` replaces the cost of every throttle. The future is boxed, so that all callers share one piece of
/// code.
pub(crate) fn decide<'a>(
    entries: &'a [Entry<'a>],
    subject: Subject<'a>,
    op: Op,
    units: Option<u64>,
) -> BoxFuture<'a, Result<Decisions, Failure>> {
    Box::pin(decide_in_steps(entries, subject, op, units))
}

/// What is asked of all throttles alike.
#[derive(Clone, Copy)]
struct Request<'a> {
    subject: &'a Subject<'a>,
    op: Op,
    /// Replaces every cost.
    units: Option<u64>,
}

async fn decide_in_steps(
    entries: &[Entry<'_>],
    subject: Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Result<Decisions, Failure> {
    let request = Request { subject: &subject, op, units };
    let all: SmallVec<[SettingsRef<'_>; 2]> = entries.iter().map(|entry| entry.throttle.settings()).collect();
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut identities = IdentityCache::default();
    let mut decisions = Decisions::exempt(entries.len());
    for (place, (entry, settings)) in entries.iter().zip(&all).enumerate() {
        let prepared = prepare(request, place, entry, settings, &mut identities).await;
        match prepared.map_err(Failure::configuration)? {
            Prepared::Uncounted => {}
            Prepared::Free => decisions.each[place].free = true,
            Prepared::Counts(candidate) => candidates.push(candidate),
        }
    }

    let done = charge::all(&candidates, op, &mut decisions).await;
    report(op, entries, &candidates, &decisions, done.is_ok() && decisions.refused.is_none());
    done.map(|()| decisions)
}

/// Reports the outcome of each throttle, given whether the request was admitted as a whole.
fn report(
    op: Op,
    entries: &[Entry<'_>],
    candidates: &[Candidate<'_>],
    decisions: &Decisions,
    admitted: bool,
) {
    let mut candidates = candidates.iter().peekable();
    for (index, (entry, decided)) in entries.iter().zip(&decisions.each).enumerate() {
        let Some(candidate) = candidates.next_if(|candidate| candidate.entry == index) else {
            observe::exempt(op, entry.throttle);
            continue;
        };
        let outcome = match decided.outcome {
            Some(HitOutcome::Allowed) if !admitted => HitOutcome::Uncharged,
            outcome => outcome.unwrap_or(HitOutcome::Uncharged),
        };
        let stat = decided.decision.stat();
        let (remaining, wait) = stat.map_or((0, None), |stat| (stat.remaining, stat.retry_after));
        let backend = candidate.backend_after(decided.failed).unwrap_or(candidate.backend());
        observe::hit(op, entry.throttle, backend.name(), outcome, candidate.cost, || remaining, wait);
    }
}

/// The hits of one request on one backend.
type Hits<'a> = SmallVec<[Hit<'a>; 2]>;

/// Adds a hit and returns its position. Each key is named only once: hits on the same key are merged, at
/// the sum of their costs and, if a uid has different limits in several registries, at the lowest limit.
fn join<'a>(hits: &mut Hits<'a>, hit: Hit<'a>) -> usize {
    if let Some(place) = hits.iter().position(|other| other.hash == hit.hash) {
        let joint = &mut hits[place];
        joint.cost = joint.cost.saturating_add(hit.cost);
        let capacity = |policy: &Policy| policy.strategy().capacity(policy.rate());
        if capacity(hit.policy) < capacity(joint.policy) {
            joint.policy = hit.policy;
        }
        return place;
    }
    hits.push(hit);
    hits.len() - 1
}

/// Decides several throttles as one: either all of them are charged, or none.
///
/// # Errors
/// Same as [`Throttle::hit`].
///
/// ```
/// # use traffik::{MemoryBackend, Throttle, hit_all};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let on = |uid, rate| Throttle::builder(uid).rate(rate).backend(MemoryBackend::new()).build();
/// let (burst, sustained) = (on("docs:burst", "2/sec")?, on("docs:sustained", "3/hour")?);
/// for expected in [true, true, false] {
///     assert_eq!(hit_all([&burst, &sustained], "ann").await?.is_allowed(), expected);
/// }
/// // The hit that the burst limit refused took nothing from the hourly limit.
/// assert_eq!(sustained.stat("ann").await?.map(|stat| stat.used), Some(2));
/// # Ok(()) }
/// ```
pub async fn hit_all<'a>(
    throttles: impl IntoIterator<Item = &'a Throttle>,
    subject: impl crate::subject::IntoSubject<'a>,
) -> Result<Decision, Error> {
    let entries: SmallVec<[Entry<'_>; 4]> = throttles.into_iter().map(Entry::new).collect();
    let subject = subject.into_subject();
    if let Some(decision) = decide_now(&entries, &subject, Op::Hit, None, |decided| decided.into_decision()) {
        return Ok(decision?);
    }
    Ok(decide(&entries, subject, Op::Hit, None).await?.into_decision())
}
