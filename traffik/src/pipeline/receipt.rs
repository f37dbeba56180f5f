//! [`Receipt`]: what was charged where, so that it can be refunded.

use crate::backend::{Hit, Op, OwnedHit, SharedBackend};
use crate::error::Error;
use crate::outage::Outage;
use crate::resilience;

/// What was charged where: everything needed to refund it later.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) charge: OwnedHit,
    pub(crate) backend: SharedBackend,
    /// When it was charged, by the backend's clock.
    pub(crate) at: u64,
    /// What the throttle's `on_error` makes of a correction that fails.
    pub(crate) outage: Outage,
}

impl Receipt {
    pub(super) fn new(hit: &Hit<'_>, backend: &SharedBackend, at: u64, cost: u64, outage: Outage) -> Self {
        let charge = OwnedHit::from(&Hit { cost, ..*hit });
        Self { charge, backend: backend.clone(), at, outage }
    }

    pub(crate) fn uid(&self) -> &'static str {
        self.charge.policy.uid()
    }

    /// Returns a hit on the same account with other units.
    pub(crate) fn hit(&self, units: u64) -> Hit<'_> {
        Hit { cost: units, charged_at: Some(self.at), ..self.charge.hit() }
    }

    /// Refunds `units` of the charge, to the window it was made in.
    pub(crate) async fn give_back(&self, units: u64) -> Result<(), Error> {
        let refund = Op::Refund { at: Some(self.at) };
        let failed = |error| Error::backend(error).about(self.uid());
        resilience::call(&self.backend, refund, &[self.hit(units)]).await.map_err(failed)?;
        Ok(())
    }
}
