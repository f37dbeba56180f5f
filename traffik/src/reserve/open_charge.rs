//! [`OpenCharge`]: one charge that may still change, shared by all who may change it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backend::{Hit, Op};
use crate::log_limit::log_limited;
use crate::on_cancel::OnCancel;
use crate::pipeline::Receipt;
#[cfg(feature = "tower")]
use crate::resilience;
#[cfg(feature = "tokio")]
use crate::run_to_completion::DropWarning;

/// A charge, and what has become of it.
///
/// Whoever settles it closes it first, so that it is settled only once. A refund of the whole response
/// takes back what is charged by then.
#[derive(Debug)]
pub(crate) struct OpenCharge {
    pub(crate) receipt: Receipt,
    portions: Mutex<Portions>,
    open: AtomicBool,
    /// Whether somebody holds it who could settle it.
    held: AtomicBool,
    on_cancel: OnCancel,
}

/// The units that are charged, and never more than that: they are reduced before units are given back, and
/// increased after units were taken.
#[derive(Debug)]
struct Portions {
    first: Portion,
    /// What a settlement took in addition. It was charged at another time, and goes back into its own
    /// window.
    overage: Portion,
}

/// Units that were charged at one instant.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "tower"),
    expect(dead_code, reason = "only responses give back what has been settled")
)]
pub(super) struct Portion {
    pub(super) units: u64,
    /// When, by the backend's clock.
    pub(super) at: u64,
    /// From when on nothing is left of the charge.
    pub(super) gone_at: u64,
}

impl OpenCharge {
    pub(crate) fn new(receipt: Receipt, on_cancel: OnCancel) -> Self {
        let first = Portion { units: receipt.charge.cost, at: receipt.at, gone_at: receipt.charge.gone_at };
        Self {
            portions: Mutex::new(Portions { first, overage: Portion { units: 0, ..first } }),
            open: AtomicBool::new(true),
            held: AtomicBool::new(false),
            receipt,
            on_cancel,
        }
    }

    /// Marks it as held: from now on, dropping it means that nobody will settle it.
    pub(crate) fn mark_held(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    pub(crate) fn charged(&self) -> u64 {
        let portions = self.portions();
        portions.first.units.saturating_add(portions.overage.units)
    }

    /// Closes it; returns whether it was open.
    pub(super) fn close(&self) -> bool {
        self.open.swap(false, Ordering::AcqRel)
    }

    /// Deducts units that are about to be given back, as far as they are still charged; returns how many.
    /// This comes before any [`record_overage`](Self::record_overage), since a charge is settled once.
    pub(super) fn deduct(&self, units: u64) -> u64 {
        let first = &mut self.portions().first;
        let back = units.min(first.units);
        first.units -= back;
        back
    }

    /// Records units that were taken in addition.
    pub(super) fn record_overage(&self, overage: Portion) {
        self.portions().overage = overage;
    }

    /// A hit on the account, with the units to correct.
    pub(super) fn hit(&self, units: u64) -> Hit<'_> {
        self.receipt.hit(units)
    }

    /// Empties it in order to give everything back, settled or not. Nobody can settle it afterwards.
    #[cfg(feature = "tower")]
    fn drain(&self) -> [Portion; 2] {
        self.close();
        let mut portions = self.portions();
        let all = [portions.first, portions.overage];
        (portions.first.units, portions.overage.units) = (0, 0);
        all
    }

    fn portions(&self) -> MutexGuard<'_, Portions> {
        // No code under the lock can panic, and a number is always consistent.
        self.portions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives all of these back, with one call to each store.
#[cfg(feature = "tower")]
pub(crate) async fn give_back(charges: &[&OpenCharge]) {
    let mut left: Vec<(&OpenCharge, Portion)> = Vec::with_capacity(charges.len());
    for charge in charges {
        let portions = charge.drain().into_iter().filter(|portion| portion.units > 0);
        left.extend(portions.map(|portion| (*charge, portion)));
    }
    while let Some((first, _)) = left.first() {
        let backend = &first.receipt.backend;
        let (mut hits, mut uids, mut later): (Vec<Hit<'_>>, Vec<_>, Vec<_>) = Default::default();
        for (charge, portion) in left {
            let hit =
                Hit { charged_at: Some(portion.at), gone_at: portion.gone_at, ..charge.hit(portion.units) };
            // A batch never names a key twice.
            let named = hits.iter().any(|other| other.hash == hit.hash);
            if named || !charge.receipt.backend.same(backend) {
                later.push((charge, portion));
            } else {
                hits.push(hit);
                uids.push(charge.receipt.uid());
            }
        }
        left = later;
        // As in a settlement, the earliest, for stores that only look at the operation.
        let at = hits.iter().filter_map(Hit::charged_at).min();
        if let Err(error) = resilience::call(backend, Op::Refund { at }, &hits).await {
            for uid in uids {
                log_limited!(warn, uid, uid, %error, "the cost was not refunded");
            }
        }
    }
}

impl Drop for OpenCharge {
    fn drop(&mut self) {
        if !*self.open.get_mut() || !*self.held.get_mut() {
            return;
        }
        let uid = self.receipt.uid();
        match self.on_cancel {
            OnCancel::Keep => {
                tracing::debug!(target: "traffik", uid, charged = self.charged(), "a reservation was dropped without being settled, and stays charged");
            }
            OnCancel::Refund => self.give_back_dropped(),
        }
    }
}

impl OpenCharge {
    fn give_back_dropped(&self) {
        // It is open, so it has no overage.
        let (receipt, units) = (&self.receipt, self.charged());
        let uid = receipt.uid();
        let refund = Op::Refund { at: Some(receipt.at) };
        match receipt.backend.decide_now(refund, &[receipt.hit(units)]) {
            Some(Ok(_)) => {
                tracing::debug!(target: "traffik", uid, units, "a reservation was dropped without being settled, and was refunded");
            }
            Some(Err(error)) => warn_kept(uid, &error),
            None => give_back_later(receipt.clone(), units),
        }
    }
}

fn warn_kept(uid: &'static str, error: &dyn std::fmt::Display) {
    log_limited!(warn, uid, uid, %error, "a dropped reservation could not be refunded, and stays charged");
}

#[cfg(feature = "tokio")]
fn give_back_later(receipt: Receipt, units: u64) {
    let uid = receipt.uid();
    let drop_warning = DropWarning::new(move || warn_kept(uid, &"no runtime is available to refund it"));
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    // Boxed, so that the runtime's task code is compiled only once.
    let rest: crate::backend::BoxFuture<'static, ()> = Box::pin(async move {
        match receipt.give_back(units).await {
            Ok(()) => {
                tracing::debug!(target: "traffik", uid, units, "a reservation was dropped without being settled, and was refunded");
            }
            Err(error) => warn_kept(uid, &error),
        }
        drop_warning.disarm();
    });
    runtime.spawn(rest);
}

#[cfg(not(feature = "tokio"))]
fn give_back_later(receipt: Receipt, _: u64) {
    warn_kept(receipt.uid(), &"no runtime is available to refund it");
}
