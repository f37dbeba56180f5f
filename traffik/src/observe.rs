//! Reporting of decisions: `tracing` events always, metrics if the feature is enabled.
//!
//! Events carry the throttle's uid and the outcome, never the client's identity. Allowed hits are logged at
//! `trace`, refused ones at `debug` (a flood of requests must not become a flood of log lines), and
//! failures at `warn` (within a limit, for the same reason: `log_limit.rs`).

use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::backend::{BackendError, Op};
use crate::hit_outcome::HitOutcome;

/// Reports the hits of one throttle.
pub(crate) struct HitReporter {
    uid: &'static str,
    #[cfg(feature = "metrics")]
    meter: crate::metrics::Meter,
}

impl HitReporter {
    pub(crate) fn new(uid: &'static str) -> Self {
        Self {
            uid,
            #[cfg(feature = "metrics")]
            meter: crate::metrics::Meter::default(),
        }
    }

    /// The throttle's uid.
    pub(crate) fn uid(&self) -> &'static str {
        self.uid
    }

    /// Reports a hit that was counted, or should have been, on the named backend. Checks, refunds and resets
    /// are not reported.
    #[inline(always)]
    pub(crate) fn hit(
        &self,
        op: Op,
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
            hit_event(self.uid, outcome, cost, remaining(), wait);
        }
        #[cfg(feature = "metrics")]
        self.meter.hit(self.uid, backend, outcome, cost, wait);
        #[cfg(not(feature = "metrics"))]
        let _ = backend;
    }

    /// Reports a hit that passed uncounted.
    #[inline(always)]
    pub(crate) fn exempt(&self, op: Op) {
        if op != Op::Hit {
            return;
        }
        if is_listened_to() {
            exempt_event(self.uid);
        }
        #[cfg(feature = "metrics")]
        self.meter.exempt(self.uid);
    }
}

/// Whether a subscriber may want events of single hits: one load, before any of the work that an event
/// takes.
#[inline]
fn is_listened_to() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

#[cold]
fn hit_event(uid: &str, outcome: HitOutcome, cost: u64, remaining: u64, wait: Option<Duration>) {
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
