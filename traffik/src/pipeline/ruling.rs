//! [`Ruling`]: the decisions of one request.

use smallvec::SmallVec;

use super::Receipt;
use crate::decision::Decision;
use crate::observe::HitOutcome;

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
    /// It cost nothing.
    pub(crate) free: bool,
    /// What was charged, for giving it back.
    pub(crate) charged: Option<Receipt>,
    /// What its backend said; `None` if it was not asked.
    pub(super) outcome: Option<HitOutcome>,
    /// How many of its backends failed before.
    pub(super) failed: usize,
}

impl Ruled {
    /// A decision, and nothing else to say of it.
    #[inline]
    fn of(decision: Decision, window: u64) -> Self {
        Self { decision, shadow: false, window, free: false, charged: None, outcome: None, failed: 0 }
    }
}

impl Ruling {
    /// Nothing counted for any of them.
    pub(crate) fn exempt(throttles: usize) -> Self {
        Self { each: (0..throttles).map(|_| Ruled::of(Decision::Exempt, 0)).collect(), refused: None }
    }

    /// That of throttles of which nothing may be wanted back, with the windows of their policies.
    #[cfg(feature = "tower")]
    pub(crate) fn of(each: impl IntoIterator<Item = (Decision, u64)>) -> Self {
        let each: SmallVec<_> =
            each.into_iter().map(|(decision, window)| Ruled::of(decision, window)).collect();
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
