//! What happens when a backend fails: never a refusal, always one of these.

use crate::backend::SharedBackend;
use crate::backend::{Backend, BackendError, Hit, Op, Verdicts};
use crate::observe;

/// What to do when the backend cannot decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnError(Policy);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Allow,
    Throttle,
    Raise,
}

/// What an outage means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Go ahead, uncounted.
    Pass,
    /// `503`, come back later.
    Unavailable,
    /// `500`.
    Raise,
}

impl OnError {
    /// Lets the request through uncounted (fail-open).
    #[must_use]
    pub const fn allow() -> Self {
        Self(Policy::Allow)
    }

    /// Turns the request away with `503` and `Retry-After` (fail-closed). The default.
    #[must_use]
    pub const fn throttle() -> Self {
        Self(Policy::Throttle)
    }

    /// Answers `500`.
    #[must_use]
    pub const fn raise() -> Self {
        Self(Policy::Raise)
    }

    pub(crate) fn outage(&self) -> Outage {
        match self.0 {
            Policy::Allow => Outage::Pass,
            Policy::Throttle => Outage::Unavailable,
            Policy::Raise => Outage::Raise,
        }
    }
}

impl Default for OnError {
    fn default() -> Self {
        Self::throttle()
    }
}

/// One call of a backend, within its deadline.
pub(crate) async fn call(
    backend: &SharedBackend,
    op: Op,
    hits: &[Hit<'_>],
) -> Result<Verdicts, BackendError> {
    if let Some(verdicts) = backend.decide_now(op, hits) {
        return verdicts;
    }
    let backend = backend.get();
    let call = within_deadline(backend, op, hits);
    let verdicts = observe::call(backend.name(), op, hits.len(), call).await?;
    if verdicts.each.len() == hits.len() {
        return Ok(verdicts);
    }
    Err(BackendError::new(format!(
        "the {} backend answered {} verdicts to {} hits",
        backend.name(),
        verdicts.each.len(),
        hits.len()
    )))
}

#[cfg(feature = "tokio")]
async fn within_deadline(backend: &dyn Backend, op: Op, hits: &[Hit<'_>]) -> Result<Verdicts, BackendError> {
    let decide = backend.decide(op, hits);
    match backend.deadline() {
        // Without a tokio runtime there is no timer to ask; such a store keeps its own deadline.
        Some(deadline) if tokio::runtime::Handle::try_current().is_ok() => {
            match tokio::time::timeout(deadline, decide).await {
                Ok(result) => result,
                Err(_) => Err(BackendError::timeout(backend.name(), deadline)),
            }
        }
        _ => decide.await,
    }
}

#[cfg(not(feature = "tokio"))]
async fn within_deadline(backend: &dyn Backend, op: Op, hits: &[Hit<'_>]) -> Result<Verdicts, BackendError> {
    backend.decide(op, hits).await
}
