//! Settlement, and what comes of it: all charges on one backend in one call.

use std::sync::Arc;

use super::open_charge::{OpenCharge, Portion};
use crate::backend::{BackendError, Hit, Op, SharedBackend, Verdict};
use crate::error::Error;
use crate::log_limit::log_limited;
use crate::pipeline;
use crate::resilience;
use crate::strategy::EXACT;

/// The outcome of a settlement. With several throttles, it is the worst of theirs, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Settled {
    /// There was nothing to settle: the client is exempt, or the reservation has already been settled.
    Nothing,
    /// Exactly what was used is charged.
    InFull,
    /// What was used is charged, and the account now exceeds the limit that the reservation was made under,
    /// because the strategy allows debt, or because the limit has risen since.
    InDebt {
        /// Units above that limit.
        units: u64,
    },
    /// More was used than was left: the account is at its limit (at the end of its debt, if it has any),
    /// and this many units are charged to nobody.
    AtLimit {
        /// Units that found no room.
        missing: u64,
    },
}

impl Settled {
    /// Returns the units that were used and are charged to nobody.
    #[must_use]
    pub fn missing(self) -> u64 {
        match self {
            Self::AtLimit { missing } => missing,
            Self::Nothing | Self::InFull | Self::InDebt { .. } => 0,
        }
    }
}

/// A charge, and the correction it needs.
struct Correction<'a> {
    charge: &'a OpenCharge,
    actual: u64,
    hit: Hit<'a>,
}

impl<'a> Correction<'a> {
    fn new(charge: &'a OpenCharge, actual: u64) -> Self {
        let charged = charge.charged();
        let (back, cost) = match actual.checked_sub(charged) {
            // No account holds 2^53 units, so more than that finds no room in any store.
            Some(more) => (false, more.min(EXACT)),
            None => (true, charged - actual),
        };
        Self { charge, actual, hit: Hit { back, ..charge.hit(cost) } }
    }

    /// Gives back no more than is still charged, in case the whole response has been refunded meanwhile.
    fn begin(&mut self) {
        if self.hit.back {
            self.hit.cost = self.charge.deduct(self.hit.cost);
        }
    }

    fn finish(&self, now: u64, verdict: &Verdict) -> Settled {
        let missing = if self.hit.back {
            0
        } else {
            let taken = self.hit.cost.saturating_sub(verdict.wait);
            let gone_at = now.saturating_add(verdict.reset_after);
            self.charge.record_overage(Portion { units: taken, at: now, gone_at });
            self.actual.saturating_sub(self.charge.receipt.charge.cost).saturating_sub(taken)
        };
        match missing {
            0 if verdict.used > verdict.limit => Settled::InDebt { units: verdict.used - verdict.limit },
            0 => Settled::InFull,
            missing => Settled::AtLimit { missing },
        }
    }
}

/// Settles each of these to `actual` units.
pub(super) async fn all(charges: &[Arc<OpenCharge>], actual: u64) -> Result<Settled, Error> {
    let open = charges.iter().map(|charge| &**charge).filter(|charge| charge.close());
    let mut left: Vec<Correction<'_>> = open.map(|charge| Correction::new(charge, actual)).collect();
    share(&mut left);
    let (mut worst, mut failed, mut words) = (Settled::Nothing, None, Vec::new());
    while let Some(first) = left.first() {
        let (backend, uid) = (&first.charge.receipt.backend, first.charge.receipt.uid());
        let (mut batch, mut later) = (Vec::new(), Vec::new());
        for one in left {
            // A batch never names a key twice.
            let named = batch.iter().any(|other: &Correction<'_>| other.hit.hash == one.hit.hash);
            let fits = !named && one.charge.receipt.backend.same(backend);
            if fits { &mut batch } else { &mut later }.push(one);
        }
        left = later;
        match together(backend, &mut batch).await {
            Ok(settled) => worst = worst.max(settled),
            Err(error) => {
                // Logged here, since most callers have a response to send regardless of the outcome.
                log_limited!(warn, uid, uid, outcome = "error", %error, "the backend could not make a correction");
                failed = failed.or(Some((error, uid)));
                words.extend(batch.iter().map(|one| one.charge.receipt.outage));
            }
        }
    }
    failed.map_or(Ok(worst), |(error, uid)| {
        Err(pipeline::correction_outage(error, uid, words.into_iter()).into())
    })
}

/// Several charges on one account share what was used: the last pays whatever the others don't cover.
fn share(corrections: &mut [Correction<'_>]) {
    for place in 1..corrections.len() {
        let (before, rest) = corrections.split_at_mut(place);
        let Some(one) = rest.first_mut() else { continue };
        if let Some(other) = before.iter_mut().rfind(|other| other.hit.hash == one.hit.hash) {
            let paid = other.actual.min(other.charge.charged());
            *one = Correction::new(one.charge, other.actual - paid);
            *other = Correction::new(other.charge, paid);
        }
    }
}

async fn together(backend: &SharedBackend, batch: &mut [Correction<'_>]) -> Result<Settled, BackendError> {
    batch.iter_mut().for_each(Correction::begin);
    let hits: Vec<Hit<'_>> = batch.iter().map(|one| one.hit).collect();
    // Each hit carries its own instant. For stores that only look at the operation, take the earliest: a
    // refund into a window that has ended gives nothing back, and so never too much.
    let at = batch.iter().map(|one| one.charge.receipt.at).min().unwrap_or_default();
    let verdicts = resilience::call(backend, Op::Settle { at }, &hits).await?;
    let settled = batch.iter().zip(&verdicts.each).enumerate();
    let settled = settled.map(|(place, (one, verdict))| one.finish(verdicts.instant(place), verdict));
    Ok(settled.max().unwrap_or(Settled::Nothing))
}
