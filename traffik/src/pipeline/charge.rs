//! Step six: charges the hits of one request, with one call per backend, in source order, and reroutes them when a
//! backend fails.

use super::batch::{Batch, HitRoute, HitRoutes};
use super::decisions::Decisions;
use super::failure::{Failure, correction_outage, outage, strictest};
use super::prepare::Candidate;
use super::rollback::{CancelSafeCall, PendingCharges};
use crate::backend::{BackendError, Op, SharedBackend, Verdicts};
use crate::error::Error;
use crate::few;
use crate::hit_outcome::HitOutcome;
use crate::log_limit::log_limited;
use crate::outage::Outage;
use crate::resilience::{self, Permits};

/// Charges all candidates or none, except those in shadow mode, which are charged individually.
pub(super) async fn all<'a>(
    candidates: &'a [Candidate<'a>],
    op: Op,
    decisions: &mut Decisions,
) -> Result<(), Failure> {
    // A throttle in shadow mode takes another call, even of the same backend.
    let several = candidates.len() > 1 && candidates.iter().any(|candidate| candidate.shadow);
    let routes = candidates.iter().filter(|candidate| !candidate.shadow).map(HitRoute::new).collect();
    let Some(mut charged) = together(routes, op, several, decisions).await? else {
        for decided in &mut decisions.each {
            decided.charged = None;
        }
        return Ok(());
    };
    // Throttles in shadow mode count separately, because their refusal must not keep the others from being charged.
    // Until they have counted, the request's charges are refunded if its client goes away.
    for candidate in candidates.iter().filter(|candidate| candidate.shadow) {
        match together(vec![HitRoute::new(candidate)], op, several, decisions).await {
            Ok(counted) => counted.into_iter().for_each(|counted| charged.append(counted)),
            Err(Failure { error, .. }) => {
                let uid = candidate.policy().uid();
                log_limited!(warn, uid, uid, outcome = "error", %error, "a throttle in shadow mode could not count the request");
            }
        }
    }
    charged.commit();
    Ok(())
}

/// Charges all of these or none; returns `None` if they are refused. What is charged is refunded unless it is
/// committed.
async fn together<'a>(
    routes: HitRoutes<'a>,
    op: Op,
    several: bool,
    decisions: &mut Decisions,
) -> Result<Option<PendingCharges<'a>>, Failure> {
    let charged = PendingCharges::default();
    let mut charging = Charging { op, several, decisions, left: routes, charged, failed_reset: None };
    while let Some(backend) = charging.next_backend() {
        let ended = match charging.ask(backend).await {
            Ok(Asked::GoesOn) => continue,
            Ok(Asked::Refused) => Ok(None),
            Err(failure) => Err(failure),
        };
        charging.charged.roll_back(charging.decisions).await;
        return ended;
    }
    charging.failed_reset.map_or(Ok(Some(charging.charged)), Err)
}

/// What became of a request when a backend was asked about it.
enum Asked {
    /// Its hits passed, or were rerouted.
    GoesOn,
    Refused,
}

/// Hits that are charged all or not at all, one backend after another.
struct Charging<'a, 'r> {
    op: Op,
    /// Whether the request makes other calls besides these.
    several: bool,
    decisions: &'r mut Decisions,
    /// The hits that have yet to be asked about.
    left: HitRoutes<'a>,
    charged: PendingCharges<'a>,
    /// The first reset that failed; the others are made all the same.
    failed_reset: Option<Failure>,
}

impl<'a> Charging<'a, '_> {
    /// The backend of the first hit, in source order, that has yet to be asked about.
    fn next_backend(&mut self) -> Option<&'a SharedBackend> {
        // Hits that were rerouted have been added at the end.
        few::sort_by_key(&mut self.left, |route| route.candidate.entry);
        self.left.first().map(|route| route.backend)
    }

    /// Asks a backend about all hits bound for it, in one call.
    async fn ask(&mut self, backend: &'a SharedBackend) -> Result<Asked, Failure> {
        let mut batch = self.take_batch(backend);
        // A remembered answer needs no permit, because it takes no call of a backend that may be down.
        if let Some(verdicts) = backend.get().recall(self.op, &batch.hits) {
            let answer = verdicts.checked(backend.get(), &batch.hits);
            return self.conclude(batch, answer);
        }
        let mut permits = Permits::default();
        self.keep_permitted(&mut batch, &mut permits)?;
        if batch.members.is_empty() {
            return Ok(Asked::GoesOn);
        }
        let answer = if self.must_finish(&batch) {
            CancelSafeCall::new(&batch, permits).run().await
        } else {
            resilience::ask(backend, self.op, &batch.hits, batch.retry(), &mut permits).await
        };
        self.conclude(batch, answer)
    }

    /// Takes the hits that are bound for a backend.
    fn take_batch(&mut self, backend: &'a SharedBackend) -> Batch<'a> {
        let (here, elsewhere): (HitRoutes<'a>, HitRoutes<'a>) =
            std::mem::take(&mut self.left).into_iter().partition(|route| route.backend.same(backend));
        self.left = elsewhere;
        Batch::of(backend, &here)
    }

    /// Takes out the hits whose circuit breakers keep them from this backend, and reroutes them. The in-memory store
    /// never fails: a breaker that is shared with other throttles has opened for their backend.
    fn keep_permitted(&mut self, batch: &mut Batch<'a>, permits: &mut Permits) -> Result<(), Failure> {
        if batch.backend.is_memory() {
            return Ok(());
        }
        let is_open = |route: &HitRoute<'_>| route.failed > 0 || permits.admit(&route.candidate.on_error);
        let (open, shut): (HitRoutes<'a>, HitRoutes<'a>) = batch.routes().partition(is_open);
        if shut.is_empty() {
            return Ok(());
        }
        *batch = Batch::of(batch.backend, &open);
        self.on_backend_failure(&shut, None)
    }

    /// Records the answer, and what is left to ask after it.
    fn conclude(
        &mut self,
        mut batch: Batch<'a>,
        answer: Result<Verdicts, BackendError>,
    ) -> Result<Asked, Failure> {
        let verdicts = match answer {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.on_backend_failure(&batch.routes().collect::<HitRoutes<'_>>(), Some(error))?;
                return Ok(Asked::GoesOn);
            }
        };
        if !batch.record(&verdicts, self.op, self.decisions) {
            return Ok(Asked::Refused);
        }
        match self.op {
            Op::Hit => self.charged.add(batch),
            // Every fallback may have counted as well.
            Op::Reset => self.left.extend(batch.routes().filter_map(HitRoute::next)),
            Op::Check | Op::Refund { .. } | Op::Settle { .. } => {}
        }
        Ok(Asked::GoesOn)
    }

    /// Whether a call must be awaited even if the client goes away meanwhile. In that case no call of several may
    /// stay charged, nor may a charge that is refunded on cancellation.
    fn must_finish(&self, batch: &Batch<'_>) -> bool {
        let several = self.several || !(self.charged.is_empty() && self.left.is_empty());
        let refund_if_dropped = several || batch.routes().any(|route| route.candidate.refund_if_dropped);
        self.op == Op::Hit && refund_if_dropped && !batch.backend.is_immediate()
    }

    /// Reroutes the hits of a backend that failed, or may not be asked (`None`), as their policies say.
    fn on_backend_failure(
        &mut self,
        routes: &[HitRoute<'a>],
        error: Option<BackendError>,
    ) -> Result<(), Failure> {
        match self.op {
            Op::Refund { .. } | Op::Settle { .. } => correction_failure(routes, error).map_or(Ok(()), Err),
            Op::Reset => {
                self.left.extend(routes.iter().filter_map(|route| route.next()));
                self.failed_reset = self.failed_reset.take().or_else(|| correction_failure(routes, error));
                Ok(())
            }
            Op::Hit | Op::Check => route_to_fallback(routes, error, self.decisions, &mut self.left),
        }
    }
}

/// Reports a correction that was not made, or perhaps not: no policy turns that into a success. A refund goes to no
/// fallback, where the account was not charged; a reset goes on to all of them.
fn correction_failure(routes: &[HitRoute<'_>], error: Option<BackendError>) -> Option<Failure> {
    let first = routes.first()?;
    let error = error.unwrap_or_else(|| breaker_open(first.backend));
    let uid = first.candidate.policy().uid();
    log_limited!(warn, uid, uid, outcome = "error", %error, "the backend could not make a correction");
    Some(correction_outage(error, uid, routes.iter().map(|route| route.candidate.on_error.outage())))
}

fn breaker_open(backend: &SharedBackend) -> BackendError {
    BackendError::breaker_open(format!(
        "the {} backend was not called: its circuit breaker is open after repeated failures",
        backend.get().name()
    ))
}

/// Sends hits whose backend failed, or may not be asked (`None`), on to where their policies say.
fn route_to_fallback<'a>(
    routes: &[HitRoute<'a>],
    error: Option<BackendError>,
    decisions: &mut Decisions,
    later: &mut HitRoutes<'a>,
) -> Result<(), Failure> {
    let Some(first) = routes.first() else { return Ok(()) };
    let uid = first.candidate.policy().uid();
    let mut lost: Vec<Outage> = Vec::new();
    let contended = error.as_ref().is_some_and(BackendError::is_contention);
    for route in routes {
        if let Some(next) = route.next().filter(|_| !contended) {
            later.push(next);
        } else {
            let decided = &mut decisions.each[route.candidate.entry];
            (decided.outcome, decided.failed) = (Some(HitOutcome::Failed), route.failed);
            lost.push(route.candidate.on_error.outage());
        }
    }
    let shut = error.is_none();
    let error = error.unwrap_or_else(|| breaker_open(first.backend));
    if shut {
        // The breaker has logged that it opened; a line per request would flood the log.
        tracing::debug!(target: "traffik", uid, outcome = "error", "a circuit breaker is open");
    } else if lost.is_empty() {
        log_limited!(warn, uid, uid, outcome = "error", %error, "the backend could not decide; trying its fallback");
    } else {
        return outage(error, uid, lost.into_iter()).map_or(Ok(()), Err);
    }
    let failed = |outage| Failure { error: Error::backend(error).about(uid), outage };
    strictest(lost.into_iter()).map_or(Ok(()), |outage| Err(failed(outage)))
}
