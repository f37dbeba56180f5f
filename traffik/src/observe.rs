//! Reporting of decisions: `tracing` events always, metrics if the feature is enabled.
//!
//! Events carry the throttle's uid and the outcome, never the client's identity. Allowed hits are logged at
//! `trace`, refused ones at `debug` (a flood of requests must not become a flood of log lines), and
//! failures at `warn`.

use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::backend::{BackendError, Op, Verdict};
use crate::throttle::Throttle;

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

/// Reports a hit that was counted, or should have been, on the named backend. Checks, refunds and resets
/// are not reported.
#[inline(always)]
pub(crate) fn hit(
    op: Op,
    throttle: &Throttle,
    backend: &'static str,
    outcome: HitOutcome,
    cost: u64,
    remaining: impl FnOnce() -> u64,
    wait: Option<Duration>,
) {
    if op != Op::Hit {
        return;
    }
    if is_listened_to() {
        event(throttle.uid(), outcome, cost, remaining(), wait);
    }
    #[cfg(feature = "metrics")]
    throttle.meter().hit(throttle.uid(), backend, outcome, cost, wait);
    #[cfg(not(feature = "metrics"))]
    let _ = backend;
}

/// Whether a subscriber may want events of single hits: one load, before any of the work that an event
/// takes.
#[inline]
fn is_listened_to() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

#[cold]
fn event(uid: &str, outcome: HitOutcome, cost: u64, remaining: u64, wait: Option<Duration>) {
    let word = outcome.word();
    match outcome {
        HitOutcome::Denied | HitOutcome::Shadowed => {
            tracing::debug!(target: "traffik", uid, outcome = word, cost, retry_after = ?wait, "over the limit");
        }
        HitOutcome::Allowed | HitOutcome::Uncharged => {
            tracing::trace!(target: "traffik", uid, outcome = word, cost, remaining, "decided");
        }
        // Logged where it happened, together with its cause.
        HitOutcome::Failed => {}
    }
}

/// Reports a hit that passed uncounted.
#[inline(always)]
pub(crate) fn exempt(op: Op, throttle: &Throttle) {
    if op != Op::Hit {
        return;
    }
    if is_listened_to() {
        exempt_event(throttle.uid());
    }
    #[cfg(feature = "metrics")]
    throttle.meter().exempt(throttle.uid());
}

#[cold]
fn exempt_event(uid: &str) {
    tracing::trace!(target: "traffik", uid, outcome = "exempt", "decided");
}

/// Instruments a backend call that may wait: with a span nested under the request's, and with a measurement
/// of its duration.
pub(crate) async fn call<T>(
    backend: &'static str,
    op: Op,
    hits: usize,
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    use tracing::Instrument;
    let span = tracing::debug_span!(target: "traffik", "backend", backend, ?op, hits);
    #[cfg(feature = "metrics")]
    let timer = crate::metrics::CallTimer::start(backend);
    let result = call.instrument(span).await;
    #[cfg(feature = "metrics")]
    timer.stop(match &result {
        Ok(_) => "ok",
        Err(error) if error.is_timeout() => "timeout",
        Err(error) if error.is_contention() => "contention",
        Err(_) => "error",
    });
    result
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use super::HitOutcome;

    #[test]
    fn every_outcome_is_at_its_place() {
        assert_eq!(HitOutcome::ALL.map(|outcome| outcome as usize), [0, 1, 2, 3, 4]);
    }
}
