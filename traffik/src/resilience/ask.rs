//! Asking a backend within its deadline, with retries where configured.

use super::Permits;
use crate::backend::{Backend, BackendError, Hit, Op, SharedBackend, Verdicts};
use crate::observe;
use crate::retry::Retry;

#[cfg(feature = "tokio")]
use tokio::time::Instant;

/// Calls a backend once, within its deadline.
pub(crate) async fn call(
    backend: &SharedBackend,
    op: Op,
    hits: &[Hit<'_>],
) -> Result<Verdicts, BackendError> {
    match backend.decide_now(op, hits) {
        Some(verdicts) => verdicts?.checked(backend.get(), hits),
        None => within(backend.get(), op, hits, Limit::of(backend.get())).await,
    }
}

/// Like [`call`], with retries as `retry` says, all of them within one deadline. The breakers learn of every
/// outcome, and stop the retries when they open.
pub(crate) async fn ask(
    backend: &SharedBackend,
    op: Op,
    hits: &[Hit<'_>],
    retry: Option<Retry>,
    permits: &mut Permits,
) -> Result<Verdicts, BackendError> {
    // A refund that is made twice would let a client exceed its limit.
    let retry = retry.filter(|_| !matches!(op, Op::Refund { .. } | Op::Settle { .. }));
    let Some(retry) = retry else {
        let result = call(backend, op, hits).await;
        permits.settle(answered(&result));
        return result;
    };
    let limit = Limit::of(backend.get());
    let mut tried = 0;
    loop {
        let result = match backend.decide_now(op, hits) {
            Some(verdicts) => verdicts.and_then(|verdicts| verdicts.checked(backend.get(), hits)),
            None => within(backend.get(), op, hits, limit).await,
        };
        permits.settle(answered(&result));
        let wait = retry.wait(tried);
        if answered(&result) || tried >= retry.times || !limit.leaves(wait) || !permits.renew() {
            return result;
        }
        pause(wait).await;
        tried += 1;
    }
}

/// Whether the store is healthy, as far as this outcome tells. Contention concerns only the client that hammers
/// its key: it neither opens a breaker nor is worth a retry, since the backend itself has retried until its
/// deadline.
fn answered(result: &Result<Verdicts, BackendError>) -> bool {
    result.as_ref().err().is_none_or(BackendError::is_contention)
}

/// The instant at which a backend's time is up.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy)]
struct Limit(Option<Instant>);

#[cfg(feature = "tokio")]
impl Limit {
    fn of(backend: &dyn Backend) -> Self {
        // Without a tokio runtime there is no timer to use; such a store keeps its own deadline.
        let timed = tokio::runtime::Handle::try_current().is_ok();
        Self(backend.deadline().filter(|_| timed).and_then(|deadline| Instant::now().checked_add(deadline)))
    }

    /// Whether there is time left after `wait`.
    fn leaves(self, wait: std::time::Duration) -> bool {
        self.0.is_none_or(|end| Instant::now() + wait < end)
    }
}

#[cfg(feature = "tokio")]
async fn within(
    backend: &dyn Backend,
    op: Op,
    hits: &[Hit<'_>],
    limit: Limit,
) -> Result<Verdicts, BackendError> {
    let decide = backend.decide(op, hits);
    let verdicts = observe::call(backend.name(), op, hits.len(), async {
        match limit.0 {
            None => decide.await,
            Some(end) => tokio::time::timeout_at(end, decide).await.unwrap_or_else(|_| {
                let deadline = backend.deadline().unwrap_or_default();
                Err(BackendError::timeout_at(backend.name(), backend.address(), deadline))
            }),
        }
    });
    verdicts.await?.checked(backend, hits)
}

#[cfg(feature = "tokio")]
async fn pause(wait: std::time::Duration) {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::time::sleep(wait).await;
    }
}

/// Without timers, every store keeps its own deadline.
#[cfg(not(feature = "tokio"))]
#[derive(Clone, Copy)]
struct Limit;

#[cfg(not(feature = "tokio"))]
impl Limit {
    fn of(_: &dyn Backend) -> Self {
        Self
    }

    fn leaves(self, _: std::time::Duration) -> bool {
        true
    }
}

#[cfg(not(feature = "tokio"))]
async fn within(backend: &dyn Backend, op: Op, hits: &[Hit<'_>], _: Limit) -> Result<Verdicts, BackendError> {
    let call = observe::call(backend.name(), op, hits.len(), backend.decide(op, hits));
    call.await?.checked(backend, hits)
}

#[cfg(not(feature = "tokio"))]
async fn pause(_: std::time::Duration) {}
