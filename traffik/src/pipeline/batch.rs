//! [`Batch`]: the hits of one request that go to one backend together.

use super::decisions::{Decisions, ThrottleDecision};
use super::hits::{Hits, join};
use super::prepare::Candidate;
use super::receipt::Receipt;
use crate::backend::{Op, SharedBackend, Verdicts};
use crate::hit_outcome::HitOutcome;
use crate::retry::Retry;

/// A hit on its way: first to its own backend, then to the fallbacks of its policy.
#[derive(Clone, Copy)]
pub(super) struct HitRoute<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) backend: &'a SharedBackend,
    /// How many of its backends have failed.
    pub(super) failed: usize,
}

pub(super) type HitRoutes<'a> = Vec<HitRoute<'a>>;

impl<'a> HitRoute<'a> {
    pub(super) fn new(candidate: &'a Candidate<'a>) -> Self {
        Self { candidate, backend: candidate.backend(), failed: 0 }
    }

    pub(super) fn next(self) -> Option<Self> {
        let failed = self.failed + 1;
        Some(Self { backend: self.candidate.backend_after(failed)?, failed, ..self })
    }
}

/// One call on its way: the [`Hits`] on a backend, and whose they are.
pub(super) struct Batch<'a> {
    pub(super) backend: &'a SharedBackend,
    pub(super) hits: Hits<'a>,
    /// Each route with the index of its hit; equal keys share one.
    pub(super) members: Vec<(HitRoute<'a>, usize)>,
    /// When it was decided, by the backend's clock; 0 until then.
    pub(super) now: u64,
}

impl<'a> Batch<'a> {
    pub(super) fn of(backend: &'a SharedBackend, routes: &[HitRoute<'a>]) -> Self {
        let mut hits = Hits::new();
        let members = routes.iter().map(|route| (*route, join(&mut hits, route.candidate.hit()))).collect();
        Self { backend, hits, members, now: 0 }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = HitRoute<'a>> {
        self.members.iter().map(|(route, _)| *route)
    }

    /// As many retries as all of them agree to. Fallbacks are asked once.
    pub(super) fn retry(&self) -> Option<Retry> {
        let retries =
            self.routes().map(|route| route.candidate.on_error.retries().filter(|_| route.failed == 0));
        retries.min_by_key(|retry| retry.map_or(0, |retry| retry.times)).flatten()
    }

    /// Removes the refunded charges from the decisions.
    pub(super) fn uncharge(&self, decisions: &mut Decisions) {
        for (HitRoute { candidate, .. }, place) in &self.members {
            if let (Some(hit), Some(decided)) =
                (self.hits.get(*place), decisions.each.get_mut(candidate.entry))
            {
                decided.decision.uncharge(hit.cost);
            }
        }
    }

    /// Writes the verdicts into the decisions, and returns whether the batch was admitted.
    pub(super) fn record(&mut self, verdicts: &Verdicts, op: Op, decisions: &mut Decisions) -> bool {
        self.now = verdicts.now;
        let admitted = verdicts.admitted();
        for (place, (hit, verdict)) in self.hits.iter_mut().zip(&verdicts.each).enumerate() {
            let now = verdicts.instant(place);
            hit.charged_at = Some(now);
            hit.gone_at = now.saturating_add(verdict.reset_after);
        }
        for (HitRoute { candidate, failed, .. }, place) in &self.members {
            let (Some(hit), Some(verdict)) = (self.hits.get(*place), verdicts.each.get(*place)) else {
                continue;
            };
            let receipt = || {
                let (at, outage) = (verdicts.instant(*place), candidate.on_error.outage());
                Receipt::new(hit, self.backend, at, candidate.cost, outage)
            };
            decisions.each[candidate.entry] = ThrottleDecision {
                shadow: candidate.shadow,
                failed: *failed,
                outcome: Some(HitOutcome::of(verdict, admitted, candidate.shadow)),
                charged: (admitted && op == Op::Hit && candidate.keeps_receipt).then(receipt),
                ..ThrottleDecision::counted(hit, verdict)
            };
            if !verdict.admitted && !candidate.shadow {
                // Members are in source order, and a refusal is the last answer.
                decisions.refused.get_or_insert(candidate.entry);
            }
        }
        admitted
    }
}
