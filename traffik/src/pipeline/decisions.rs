//! [`Decisions`]: the decisions of one request, with a [`ThrottleDecision`] for each throttle.

use smallvec::SmallVec;

use super::receipt::Receipt;
use crate::backend::{Hit, Verdict};
use crate::decision::Decision;
use crate::hit_outcome::HitOutcome;

/// The decisions of one request, one per throttle, in order.
#[derive(Debug)]
pub(crate) struct Decisions {
    pub(crate) each: SmallVec<[ThrottleDecision; 2]>,
    /// The first refusal that counts.
    pub(crate) refused: Option<usize>,
}

/// The decision of one throttle, with what headers, events and refunds need.
#[derive(Debug)]
pub(crate) struct ThrottleDecision {
    pub(crate) decision: Decision,
    /// Whether the throttle is in shadow mode, so that its refusal turns nobody away.
    pub(crate) shadow: bool,
    /// Its policy's [window](crate::policy::Policy::window), for headers.
    pub(crate) window: u64,
    /// Whether the request cost nothing.
    pub(crate) free: bool,
    /// What was charged, so that it can be refunded.
    pub(crate) charged: Option<Receipt>,
    /// What its backend answered; `None` if it was not asked.
    pub(super) outcome: Option<HitOutcome>,
    /// How many of its backends failed before.
    pub(super) failed: usize,
}

impl ThrottleDecision {
    /// A decision with nothing else to record.
    #[inline]
    fn of(decision: Decision, window: u64) -> Self {
        Self { decision, shadow: false, window, free: false, charged: None, outcome: None, failed: 0 }
    }

    /// The decision on a hit that a backend has counted or refused.
    #[inline]
    pub(super) fn counted(hit: &Hit<'_>, verdict: &Verdict) -> Self {
        Self::of(Decision::new(hit.policy, hit.cost, verdict), hit.policy.window())
    }
}

impl Decisions {
    /// Creates decisions in which no throttle counted anything.
    pub(super) fn exempt(throttles: usize) -> Self {
        Self {
            each: (0..throttles).map(|_| ThrottleDecision::of(Decision::Exempt, 0)).collect(),
            refused: None,
        }
    }

    /// Creates the decisions of throttles whose charges are never refunded, with their policies'
    /// windows.
    #[cfg(feature = "tower")]
    pub(crate) fn of(each: impl IntoIterator<Item = (Decision, u64)>) -> Self {
        let each: SmallVec<_> =
            each.into_iter().map(|(decision, window)| ThrottleDecision::of(decision, window)).collect();
        let refused = each.iter().position(|decided: &ThrottleDecision| !decided.decision.is_allowed());
        Self { each, refused }
    }

    /// Returns the decision on the request as a whole.
    pub(crate) fn into_decision(mut self) -> Decision {
        if let Some(refused) = self.refused {
            return self.each.swap_remove(refused).decision;
        }
        // The account closest to its limit stands for the rest.
        self.each
            .into_iter()
            .filter(|decided| !matches!(decided.decision, Decision::Denied(_)))
            .map(|decided| decided.decision)
            .min_by_key(|decision| decision.stat().map_or(u64::MAX, |stat| stat.remaining))
            .unwrap_or(Decision::Exempt)
    }
}
