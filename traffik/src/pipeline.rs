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

mod at_once;
mod backends;
mod batch;
mod charge;
mod client;
mod decisions;
mod entry;
mod failure;
#[cfg(feature = "memory")]
mod fast_path;
mod hits;
mod immediate;
mod prepare;
mod recall;
mod receipt;
mod rollback;

use smallvec::SmallVec;

use crate::backend::Op;
use crate::box_future::BoxFuture;
use crate::decision::Decision;
use crate::error::Error;
use crate::hit_outcome::HitOutcome;
use crate::settings::SettingsRef;
use crate::subject::Subject;
use crate::throttle::Throttle;

pub(crate) use at_once::decide_at_once;
use client::IdentityCache;
pub(crate) use decisions::Decisions;
#[cfg(feature = "tower")]
pub(crate) use decisions::ThrottleDecision;
pub(crate) use entry::{Entry, Overrides};
pub(crate) use failure::{Failure, correction_outage};
#[cfg(feature = "memory")]
pub(crate) use fast_path::{AdmittedHit, HitContinuation, fast_hit};
#[cfg(all(feature = "memory", feature = "tower"))]
pub(crate) use fast_path::{StackContinuation, each, request};
pub(crate) use immediate::decide_now;
use prepare::{Candidate, Prepared, Request, prepare};
#[cfg(feature = "tower")]
pub(crate) use recall::hit as recall;
pub(crate) use receipt::Receipt;

/// Decides one throttle, if nothing has to wait.
#[inline]
pub(crate) fn decide_one_now(
    throttle: &Throttle,
    subject: &Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Option<Result<Decision, Error>> {
    if op == Op::Hit
        && let Some(decision) = by_shortcut(throttle, subject, units)
    {
        return Some(Ok(decision));
    }
    let decided = decide_now(&[Entry::new(throttle)], subject, op, units, |decided| decided.into_decision())?;
    Some(decided.map_err(Error::from))
}

/// Decides a hit under one throttle by one of the shortcuts, if any of them applies.
#[inline]
fn by_shortcut(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
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
    Box::pin(decide_in_steps(entries, settings(entries), subject, op, units))
}

/// The settings of each throttle. All steps of a decision go by the same ones.
#[inline]
fn settings<'a>(entries: &[Entry<'a>]) -> AllSettings<'a> {
    entries.iter().map(|entry| entry.throttle.settings()).collect()
}

type AllSettings<'a> = SmallVec<[SettingsRef<'a>; 2]>;

async fn decide_in_steps(
    entries: &[Entry<'_>],
    all: AllSettings<'_>,
    subject: Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Result<Decisions, Failure> {
    let request = Request { subject: &subject, op, units };
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut identities = IdentityCache::default();
    let mut decisions = Decisions::exempt(entries.len());
    for (place, (entry, settings)) in entries.iter().zip(&all).enumerate() {
        let prepared = prepare(request, place, entry, settings, &mut identities).await;
        match prepared.map_err(|error| Failure::configuration(entry.throttle.uid(), error))? {
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
            entry.throttle.reporter().exempt(op);
            continue;
        };
        let outcome = match decided.outcome {
            Some(HitOutcome::Allowed) if !admitted => HitOutcome::Uncharged,
            outcome => outcome.unwrap_or(HitOutcome::Uncharged),
        };
        let stat = decided.decision.stat();
        let (remaining, wait) = stat.map_or((0, None), |stat| (stat.remaining, stat.retry_after));
        let backend = candidate.backend_after(decided.failed).unwrap_or(candidate.backend());
        entry.throttle.reporter().hit(op, backend.name(), outcome, candidate.cost, || remaining, wait);
    }
}

/// Decides several throttles as one: either all of them are charged, or none.
///
/// Each charges its own cost; a [`QuotaContext`](crate::QuotaContext) charges other costs. A throttle that is
/// named twice is charged twice.
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
