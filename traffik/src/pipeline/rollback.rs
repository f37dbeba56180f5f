//! What a request is charged over several calls until it is decided: all of it is kept or all of it is refunded, even
//! if the client goes away at any point in between.

use super::batch::Batch;
use super::decisions::Decisions;
use super::receipt::Receipt;
use crate::backend::{BackendError, Hit, Op, SharedBackend, Verdicts};
use crate::box_future::BoxFuture;
use crate::log_limit::log_limited;
use crate::outage::Outage;
use crate::resilience::{self, Permits};
use crate::retry::Retry;
use crate::run_to_completion::RunToCompletion;

/// What has been charged so far for a request that is not decided yet. Refunded on drop.
#[derive(Default)]
pub(super) struct PendingCharges<'a>(Vec<Batch<'a>>);

impl<'a> PendingCharges<'a> {
    pub(super) fn add(&mut self, batch: Batch<'a>) {
        self.0.push(batch);
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn commit(&mut self) {
        self.0.clear();
    }

    pub(super) async fn roll_back(&mut self, decisions: &mut Decisions) {
        self.0.iter().for_each(|batch| batch.uncharge(decisions));
        if let Some(rest) = self.begin_roll_back() {
            rest.await;
        }
    }

    /// Refunds what needs no waiting, and returns the rest as a future. A refund that has begun is neither abandoned
    /// nor repeated: refunding twice would let a client exceed its limit.
    fn begin_roll_back(&mut self) -> Option<RunToCompletion<()>> {
        let mut rest = Vec::new();
        for batch in self.0.drain(..) {
            match batch.backend.decide_now(Op::Refund { at: Some(batch.now) }, &batch.hits) {
                Some(Ok(_)) => {}
                Some(Err(error)) => warn_kept(&error),
                None => rest.push(receipts(&batch)),
            }
        }
        if rest.is_empty() {
            return None;
        }
        let work = async move {
            for receipts in &rest {
                refund(receipts).await;
            }
        };
        Some(RunToCompletion::finish(work, warn_kept))
    }
}

impl Drop for PendingCharges<'_> {
    fn drop(&mut self) {
        drop(self.begin_roll_back());
    }
}

/// A call that runs to its end even if the client goes away meanwhile. In that case, what it charged is refunded.
pub(super) struct CancelSafeCall {
    backend: SharedBackend,
    receipts: Vec<Receipt>,
    retry: Option<Retry>,
    permits: Permits,
}

/// The result of the call, and what it charged if it succeeded.
struct CallResult {
    receipts: Vec<Receipt>,
    result: Result<Verdicts, BackendError>,
}

impl CancelSafeCall {
    pub(super) fn new(batch: &Batch<'_>, permits: Permits) -> Self {
        Self { backend: batch.backend.clone(), receipts: receipts(batch), retry: batch.retry(), permits }
    }

    pub(super) async fn run(self) -> Result<Verdicts, BackendError> {
        RunToCompletion::new(self.ask(), CallResult::undo, warn_kept).await.result
    }

    async fn ask(mut self) -> CallResult {
        let hits: Vec<_> = self.receipts.iter().map(|one| one.hit(one.charge.cost)).collect();
        let result = resilience::ask(&self.backend, Op::Hit, &hits, self.retry, &mut self.permits).await;
        drop(hits);
        CallResult { receipts: self.receipts, result }
    }
}

impl CallResult {
    fn undo(mut self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Whether a failed call has charged anything is unknown, so any charge stays.
            let Ok(verdicts) = self.result else { return };
            if !verdicts.admitted() {
                return;
            }
            for (place, (receipt, verdict)) in self.receipts.iter_mut().zip(&verdicts.each).enumerate() {
                receipt.at = verdicts.instant(place);
                receipt.charge.gone_at = receipt.at.saturating_add(verdict.reset_after);
            }
            refund(&self.receipts).await;
        })
    }
}

/// What outlives the request. Each charge is refunded as of its own instant, since the slots of a cluster charge one
/// after the other.
fn receipts(batch: &Batch<'_>) -> Vec<Receipt> {
    let at = |hit: &Hit<'_>| hit.charged_at.unwrap_or(batch.now);
    // The outage plays no part: a refund that fails is only logged.
    let receipt = |hit| Receipt::new(hit, batch.backend, at(hit), hit.cost, Outage::default());
    batch.hits.iter().map(receipt).collect()
}

/// Refunds the charges of one call, in one call.
async fn refund(receipts: &[Receipt]) {
    let Some(Receipt { backend, at, .. }) = receipts.first() else { return };
    let hits: Vec<_> = receipts.iter().map(|one| one.hit(one.charge.cost)).collect();
    if let Err(error) = resilience::call(backend, Op::Refund { at: Some(*at) }, &hits).await {
        warn_kept(&error);
    }
}

/// Several throttles may be concerned, so the line names none.
fn warn_kept(error: &dyn std::fmt::Display) {
    log_limited!(warn, "", %error, "a refused or abandoned request stays charged");
}

#[cfg(all(test, feature = "redis-cluster", feature = "memory"))]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use crate::backend::{Backend, BackendError, Hit, Op, Verdict, Verdicts};
    use crate::box_future::BoxFuture;
    use crate::{MemoryBackend, Registry, Throttle, hit_all};

    /// Charges one hit after the other, as the slots of a cluster do, and records the instant as of which each is
    /// refunded.
    #[derive(Debug, Clone, Default)]
    struct Slots(Arc<Mutex<Vec<Option<u64>>>>);

    impl Backend for Slots {
        fn name(&self) -> &'static str {
            "slots"
        }

        fn decide<'a>(
            &'a self,
            op: Op,
            hits: &'a [Hit<'a>],
        ) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
            if matches!(op, Op::Refund { .. }) {
                let mut given_back = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                given_back.extend(hits.iter().map(Hit::charged_at));
            }
            let admitted = Verdict { admitted: true, ..Verdict::default() };
            let each = (1..).take(hits.len()).map(|place| (place * 10, admitted));
            Box::pin(std::future::ready(Ok(Verdicts::one_by_one(each))))
        }

        fn store(&self) -> Option<usize> {
            Some(Arc::as_ptr(&self.0).addr())
        }
    }

    #[tokio::test]
    async fn each_charge_goes_back_as_of_its_own_instant() {
        let slots = Slots::default();
        let on = |uid: &str| Throttle::builder(uid).rate("1/day").registry(&Registry::new());
        let first = on("paid:first").backend(slots.clone()).build().unwrap();
        let second = on("paid:second").backend(slots.clone()).build().unwrap();
        let full = on("paid:full").backend(MemoryBackend::new()).build().unwrap();
        assert!(full.hit("ann").await.unwrap().is_allowed());
        assert!(!hit_all([&first, &second, &full], "ann").await.unwrap().is_allowed());
        assert_eq!(*slots.0.lock().unwrap(), [Some(10), Some(20)]);
    }
}
