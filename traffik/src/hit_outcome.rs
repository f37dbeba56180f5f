//! [`HitOutcome`]: what became of a hit, in the terms of events and metrics.

use crate::backend::Verdict;

/// The outcome of one throttle's hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HitOutcome {
    /// Charged.
    Allowed,
    /// Refused, and the whole request with it.
    Denied,
    /// Over the limit in shadow mode; the request is not refused.
    Shadowed,
    /// Not charged, since another throttle of the request refused or failed to get a decision.
    Uncharged,
    /// The backend could not decide.
    Failed,
}

impl HitOutcome {
    /// Each at the index that `as usize` gives.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 5] =
        [Self::Allowed, Self::Denied, Self::Shadowed, Self::Uncharged, Self::Failed];

    /// The name in events and labels.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Shadowed => "shadowed",
            Self::Uncharged => "uncharged",
            Self::Failed => "error",
        }
    }

    /// The outcome of a verdict, given whether the request was admitted as a whole.
    #[inline]
    pub(crate) const fn of(verdict: &Verdict, admitted: bool, shadow: bool) -> Self {
        match (verdict.admitted, shadow) {
            (false, false) => Self::Denied,
            (false, true) => Self::Shadowed,
            (true, _) if admitted => Self::Allowed,
            (true, _) => Self::Uncharged,
        }
    }
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use super::HitOutcome;

    #[test]
    fn every_outcome_is_at_its_place() {
        assert_eq!(HitOutcome::ALL.map(|outcome| outcome as usize), [0, 1, 2, 3, 4]);
    }
}
