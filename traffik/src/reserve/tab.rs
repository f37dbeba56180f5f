//! [`Tab`]: one charge that may still change, shared by all who may change it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::OnCancel;
use crate::backend::{Hit, Op};
#[cfg(feature = "tower")]
use crate::error::Error;
use crate::pipeline::Receipt;

/// One charge, and what has become of it.
///
/// Whoever settles it closes it first, so that it is settled once; a refund of the whole response
/// takes what is charged by then.
#[derive(Debug)]
pub(crate) struct Tab {
    pub(crate) receipt: Receipt,
    /// Never more than what is charged: it sinks before units are given back, and rises after they
    /// were taken.
    charged: AtomicU64,
    /// From when on nothing is left of it; a settlement that takes more puts it off.
    gone_at: AtomicU64,
    open: AtomicBool,
    /// Whether somebody holds it who could settle it.
    held: AtomicBool,
    on_cancel: OnCancel,
}

impl Tab {
    pub(crate) fn new(receipt: Receipt, on_cancel: OnCancel) -> Self {
        Self {
            charged: AtomicU64::new(receipt.cost),
            gone_at: AtomicU64::new(receipt.gone_at),
            open: AtomicBool::new(true),
            held: AtomicBool::new(false),
            receipt,
            on_cancel,
        }
    }

    /// From now on a drop means that nobody will settle it.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    pub(crate) fn charged(&self) -> u64 {
        self.charged.load(Ordering::Acquire)
    }

    /// Closes it; says whether it was open.
    pub(super) fn close(&self) -> bool {
        self.open.swap(false, Ordering::AcqRel)
    }

    /// Units are about to be given back.
    pub(super) fn sink(&self, units: u64) {
        self.update(|charged| charged.saturating_sub(units));
    }

    /// Units were taken, which are gone by then.
    pub(super) fn rise(&self, units: u64, gone_at: u64) {
        self.gone_at.fetch_max(gone_at, Ordering::AcqRel);
        self.update(|charged| charged.saturating_add(units));
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        // The closure always gives a value, and so this cannot fail.
        let _ =
            self.charged.fetch_update(Ordering::AcqRel, Ordering::Acquire, |charged| Some(change(charged)));
    }

    /// The account, and units that are to be corrected.
    pub(super) fn hit(&self, units: u64) -> Hit<'_> {
        Hit { gone_at: self.gone_at.load(Ordering::Acquire), ..self.receipt.hit(units) }
    }

    /// Gives all of it back, settled or not. Nobody can settle it afterwards.
    #[cfg(feature = "tower")]
    pub(crate) async fn give_back(&self) -> Result<(), Error> {
        self.close();
        self.receipt.refund(&self.hit(self.charged.swap(0, Ordering::AcqRel))).await
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        if !*self.open.get_mut() || !*self.held.get_mut() {
            return;
        }
        let uid = self.receipt.policy.uid();
        match self.on_cancel {
            OnCancel::Keep => {
                tracing::debug!(target: "traffik", uid, charged = *self.charged.get_mut(), "a reservation was dropped unsettled, and stays charged");
            }
            OnCancel::Refund => self.give_back_dropped(),
        }
    }
}

impl Tab {
    fn give_back_dropped(&mut self) {
        let (receipt, units) = (&self.receipt, *self.charged.get_mut());
        let uid = receipt.policy.uid();
        let refund = Op::Refund { at: Some(receipt.at) };
        match receipt.backend.decide_now(refund, &[receipt.hit(units)]) {
            Some(Ok(_)) => {
                tracing::debug!(target: "traffik", uid, units, "a reservation was dropped unsettled, and is given back");
            }
            Some(Err(error)) => tell_kept(uid, &error),
            None => give_back_later(receipt.clone(), units),
        }
    }
}

fn tell_kept(uid: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(target: "traffik", uid, %error, "a reservation that was dropped unsettled stays charged");
}

#[cfg(feature = "tokio")]
fn give_back_later(receipt: Receipt, units: u64) {
    let uid = receipt.policy.uid();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return tell_kept(uid, &"no runtime is there to give it back");
    };
    // Boxed, so that the runtime's tasks are compiled once.
    let rest: crate::backend::BoxFuture<'static, ()> = Box::pin(async move {
        match receipt.give_back(units).await {
            Ok(()) => {
                tracing::debug!(target: "traffik", uid, units, "a reservation was dropped unsettled, and is given back");
            }
            Err(error) => tell_kept(uid, &error),
        }
    });
    runtime.spawn(rest);
}

#[cfg(not(feature = "tokio"))]
fn give_back_later(receipt: Receipt, _: u64) {
    tell_kept(receipt.policy.uid(), &"no runtime is there to give it back");
}
