//! Step six: charges the hits of one request, with one call per backend, in source order, and reroutes them when a
//! backend fails.

use super::paid::{ChargedSoFar, Underway};
use super::{Candidate, Failure, Hits, Receipt, Ruling, join};
use crate::backend::{BackendError, Op, SharedBackend, Verdicts};
use crate::decision::Decision;
use crate::error::Error;
use crate::few;
use crate::observe::HitOutcome;
use crate::resilience::{self, Outage, Permits, Retry};

/// A hit on its way: first to its own backend, then to the fallbacks of its policy.
#[derive(Clone, Copy)]
struct Leg<'a> {
    candidate: &'a Candidate<'a>,
    backend: &'a SharedBackend,
    /// How many of its backends have failed.
    failed: usize,
}

type Legs<'a> = Vec<Leg<'a>>;

impl<'a> Leg<'a> {
    fn new(candidate: &'a Candidate<'a>) -> Self {
        Self { candidate, backend: candidate.backend(), failed: 0 }
    }

    fn next(self) -> Option<Self> {
        let failed = self.failed + 1;
        Some(Self { backend: self.candidate.asked(failed)?, failed, ..self })
    }
}

/// Charges all candidates or none, except those in shadow mode, which are charged individually.
pub(super) async fn all<'a>(
    candidates: &'a [Candidate<'a>],
    op: Op,
    ruling: &mut Ruling,
) -> Result<(), Failure> {
    // A throttle in shadow mode takes another call, even of the same backend.
    let several = candidates.len() > 1 && candidates.iter().any(|candidate| candidate.shadow);
    let legs = candidates.iter().filter(|candidate| !candidate.shadow).map(Leg::new).collect();
    let Some(mut charged) = together(legs, op, several, ruling).await? else {
        for ruled in &mut ruling.each {
            ruled.charged = None;
        }
        return Ok(());
    };
    // Throttles in shadow mode count separately, because their refusal must not keep the others from being charged.
    // Until they have counted, the request's charges are refunded if its client goes away.
    for candidate in candidates.iter().filter(|candidate| candidate.shadow) {
        let legs = [Leg::new(candidate)].into_iter().collect();
        match together(legs, op, several, ruling).await {
            Ok(counted) => counted.into_iter().for_each(|counted| charged.append(counted)),
            Err(Failure { error, .. }) => {
                let uid = candidate.policy().uid();
                tracing::warn!(target: "traffik", uid, outcome = "error", %error, "a throttle in shadow mode could not count the request");
            }
        }
    }
    charged.keep();
    Ok(())
}

/// Charges all of these or none; returns `None` if they are refused. What is charged is refunded unless it is kept.
async fn together<'a>(
    legs: Legs<'a>,
    op: Op,
    several: bool,
    ruling: &mut Ruling,
) -> Result<Option<ChargedSoFar<'a>>, Failure> {
    let charged = ChargedSoFar::default();
    let mut charging = Charging { op, several, ruling, left: legs, charged, undone: None };
    while let Some(first) = charging.left.first() {
        let passed = charging.ask(first.backend).await;
        if !matches!(passed, Ok(true)) {
            charging.charged.give_back(charging.ruling).await;
            return passed.map(|_| None);
        }
    }
    charging.undone.map_or(Ok(Some(charging.charged)), Err)
}

/// Hits that are charged all or not at all, one backend after another.
struct Charging<'a, 'r> {
    op: Op,
    /// Whether the request makes other calls besides these.
    several: bool,
    ruling: &'r mut Ruling,
    /// The hits that have yet to be asked about.
    left: Legs<'a>,
    charged: ChargedSoFar<'a>,
    /// The first reset that failed; the others are made all the same.
    undone: Option<Failure>,
}

impl<'a> Charging<'a, '_> {
    /// Asks one backend about all hits bound for it, in one call. Returns whether they pass.
    async fn ask(&mut self, backend: &'a SharedBackend) -> Result<bool, Failure> {
        let op = self.op;
        let (here, elsewhere) =
            std::mem::take(&mut self.left).into_iter().partition(|leg| leg.backend.same(backend));
        self.left = elsewhere;
        let mut batch = Batch::of(backend, &here);
        let mut permits = Permits::default();
        // A remembered answer needs no permit, because it takes no call of a backend that may be down.
        let known = backend.get().recall(op, &batch.hits);
        if known.is_none() {
            let is_open = |leg: &Leg<'_>| leg.failed > 0 || permits.admit(&leg.candidate.on_error);
            let (open, shut): (Legs<'a>, Legs<'a>) = here.into_iter().partition(is_open);
            if !shut.is_empty() {
                batch = Batch::of(backend, &open);
                self.miss(&shut, None)?;
            }
        }
        if !batch.members.is_empty() {
            let answer = match known {
                Some(verdicts) => verdicts.checked(backend.get(), &batch.hits),
                None if self.returns(&batch) => Underway::new(&batch, permits).answer().await,
                None => resilience::ask(backend, op, &batch.hits, batch.retry(), &mut permits).await,
            };
            match answer {
                Ok(verdicts) if !batch.rule(&verdicts, op, self.ruling) => return Ok(false),
                Ok(_) if op == Op::Reset => self.left.extend(batch.legs().filter_map(Leg::next)),
                Ok(_) if op == Op::Hit => self.charged.add(batch),
                Ok(_) => {}
                Err(error) => self.miss(&batch.legs().collect::<Legs<'_>>(), Some(error))?,
            }
        }
        few::sort_by_key(&mut self.left, |leg| leg.candidate.entry);
        Ok(true)
    }

    /// Whether a call must be awaited even if the client goes away meanwhile. In that case no call of several may
    /// stay charged, nor may a charge that is refunded on cancellation.
    fn returns(&self, batch: &Batch<'_>) -> bool {
        let several = self.several || !(self.charged.is_empty() && self.left.is_empty());
        let returns = several || batch.legs().any(|leg| leg.candidate.returns);
        self.op == Op::Hit && returns && !batch.backend.is_immediate()
    }

    /// Reroutes the hits of a backend that failed, or may not be asked (`None`), as their policies say.
    fn miss(&mut self, legs: &[Leg<'a>], error: Option<BackendError>) -> Result<(), Failure> {
        match self.op {
            Op::Refund { .. } | Op::Settle { .. } => missed(legs, error).map_or(Ok(()), Err),
            Op::Reset => {
                self.left.extend(legs.iter().filter_map(|leg| leg.next()));
                self.undone = self.undone.take().or_else(|| missed(legs, error));
                Ok(())
            }
            Op::Hit | Op::Check => detour(legs, error, self.ruling, &mut self.left),
        }
    }
}

/// Reports a correction that was not made, or perhaps not: no policy turns that into a success. A refund goes to no
/// fallback, where the account was not charged; a reset goes on to all of them.
fn missed(legs: &[Leg<'_>], error: Option<BackendError>) -> Option<Failure> {
    let first = legs.first()?;
    let error = error.unwrap_or_else(|| left_alone(first.backend));
    let uid = first.candidate.policy().uid();
    tracing::warn!(target: "traffik", uid, outcome = "error", %error, "the backend could not make a correction");
    Some(unmade(error, legs.iter().map(|leg| leg.candidate.on_error.outage())))
}

/// What a failed correction means for its caller. As in [`outage`], the throttles have no say about contention.
pub(crate) fn unmade(error: BackendError, words: impl Iterator<Item = Outage>) -> Failure {
    let strictest = strictest(words).filter(|_| !error.is_contention());
    Failure { error: Error::backend(error), outage: strictest.unwrap_or_default() }
}

fn left_alone(backend: &SharedBackend) -> BackendError {
    BackendError::left_alone(format!(
        "the {} backend was not called: its circuit breaker is open after repeated failures",
        backend.get().name()
    ))
}

/// Sends hits whose backend failed, or may not be asked (`None`), on to where their policies say.
fn detour<'a>(
    legs: &[Leg<'a>],
    error: Option<BackendError>,
    ruling: &mut Ruling,
    later: &mut Legs<'a>,
) -> Result<(), Failure> {
    let Some(first) = legs.first() else { return Ok(()) };
    let uid = first.candidate.policy().uid();
    let mut lost: Vec<Outage> = Vec::new();
    let contended = error.as_ref().is_some_and(BackendError::is_contention);
    for leg in legs {
        if let Some(next) = leg.next().filter(|_| !contended) {
            later.push(next);
        } else {
            let ruled = &mut ruling.each[leg.candidate.entry];
            (ruled.outcome, ruled.failed) = (Some(HitOutcome::Failed), leg.failed);
            lost.push(leg.candidate.on_error.outage());
        }
    }
    let shut = error.is_none();
    let error = error.unwrap_or_else(|| left_alone(first.backend));
    if shut {
        // The breaker has logged that it opened; a line per request would flood the log.
        tracing::debug!(target: "traffik", uid, outcome = "error", "a circuit breaker is open");
    } else if lost.is_empty() {
        tracing::warn!(target: "traffik", uid, outcome = "error", %error, "the backend could not decide; trying its fallback");
    } else {
        return outage(error, uid, lost.into_iter()).map_or(Ok(()), Err);
    }
    strictest(lost.into_iter()).map_or(Ok(()), |outage| Err(Failure { error: Error::backend(error), outage }))
}

fn strictest(mut words: impl Iterator<Item = Outage>) -> Option<Outage> {
    words.find(|outage| *outage != Outage::Pass)
}

/// What an outage means for the request: the first of its throttles that does not let it pass decides. Contention is
/// no outage, so the throttles have no say: nobody passes uncounted by hammering a key.
pub(super) fn outage(error: BackendError, uid: &str, words: impl Iterator<Item = Outage>) -> Option<Failure> {
    let strictest = if error.is_contention() { Some(Outage::Unavailable) } else { strictest(words) };
    tracing::warn!(target: "traffik", uid, outcome = "error", %error, passed = strictest.is_none(), "the backend could not decide");
    strictest.map(|outage| Failure { error: Error::backend(error), outage })
}

/// The hits of one request on one backend.
pub(super) struct Batch<'a> {
    pub(super) backend: &'a SharedBackend,
    pub(super) hits: Hits<'a>,
    /// Each leg with the index of its hit; equal keys share one.
    members: Vec<(Leg<'a>, usize)>,
    pub(super) now: u64,
}

impl<'a> Batch<'a> {
    fn of(backend: &'a SharedBackend, legs: &[Leg<'a>]) -> Self {
        let mut hits = Hits::new();
        let members = legs.iter().map(|leg| (*leg, join(&mut hits, leg.candidate.hit()))).collect();
        Self { backend, hits, members, now: 0 }
    }

    fn legs(&self) -> impl Iterator<Item = Leg<'a>> {
        self.members.iter().map(|(leg, _)| *leg)
    }

    /// As many retries as all of them agree to. Fallbacks are asked once.
    pub(super) fn retry(&self) -> Option<Retry> {
        let retries = self.legs().map(|leg| leg.candidate.on_error.retries().filter(|_| leg.failed == 0));
        retries.min_by_key(|retry| retry.map_or(0, |retry| retry.times)).flatten()
    }

    /// Removes the refunded charges from the ruling.
    pub(super) fn unrule(&self, ruling: &mut Ruling) {
        for (Leg { candidate, .. }, place) in &self.members {
            if let (Some(hit), Some(ruled)) = (self.hits.get(*place), ruling.each.get_mut(candidate.entry)) {
                ruled.decision.uncharge(hit.cost);
            }
        }
    }

    /// Writes the verdicts into the ruling, and returns whether the batch was admitted.
    fn rule(&mut self, verdicts: &Verdicts, op: Op, ruling: &mut Ruling) -> bool {
        self.now = verdicts.now;
        let admitted = verdicts.admitted();
        for (place, (hit, verdict)) in self.hits.iter_mut().zip(&verdicts.each).enumerate() {
            let now = verdicts.instant(place);
            hit.charged_at = Some(now);
            hit.gone_at = now.saturating_add(verdict.reset_after);
        }
        for (Leg { candidate, failed, .. }, place) in &self.members {
            let (Some(hit), Some(verdict)) = (self.hits.get(*place), verdicts.each.get(*place)) else {
                continue;
            };
            let ruled = &mut ruling.each[candidate.entry];
            ruled.shadow = candidate.shadow;
            ruled.failed = *failed;
            ruled.outcome = Some(HitOutcome::of(verdict, admitted, candidate.shadow));
            ruled.decision = Decision::new(hit.policy, hit.cost, verdict);
            ruled.window = hit.policy.window();
            if admitted && op == Op::Hit && candidate.receipt {
                let receipt = Receipt::new(hit, self.backend, verdicts.instant(*place), candidate.cost);
                ruled.charged = Some(Receipt { outage: candidate.on_error.outage(), ..receipt });
            }
            if !verdict.admitted
                && !candidate.shadow
                && ruling.refused.is_none_or(|first| first > candidate.entry)
            {
                ruling.refused = Some(candidate.entry);
            }
        }
        admitted
    }
}
