//! [`Receipt`]: what was charged where, for giving it back.

use crate::backend::{Hit, Op, SharedBackend};
use crate::error::Error;
use crate::identity::Identity;
use crate::key;
use crate::policy::Policy;
use crate::resilience::{self, Outage};

/// What was charged where: all it takes to give it back later.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) policy: Policy,
    pub(crate) identity: Identity,
    pub(crate) scope: Option<String>,
    pub(crate) backend: SharedBackend,
    /// When, by the backend's clock.
    pub(crate) at: u64,
    /// From when on nothing is left of it.
    pub(crate) gone_at: u64,
    /// How much.
    pub(crate) cost: u64,
    /// What the throttle's `on_error` makes of a correction that fails.
    pub(crate) outage: Outage,
}

impl Receipt {
    pub(super) fn new(hit: &Hit<'_>, backend: &SharedBackend, at: u64, cost: u64) -> Self {
        Self {
            policy: hit.policy.clone(),
            identity: hit.who.to_identity(),
            scope: hit.scope.map(Into::into),
            backend: backend.clone(),
            at,
            gone_at: hit.gone_at,
            cost,
            outage: Outage::default(),
        }
    }

    /// The same account, and other units.
    pub(crate) fn hit(&self, units: u64) -> Hit<'_> {
        let who = self.identity.as_ref();
        let hit = Hit::new(&self.policy, who, key::identity(&who), self.scope.as_deref(), units);
        Hit { charged_at: Some(self.at), gone_at: self.gone_at, ..hit }
    }

    /// Gives `units` of the charge back, into the window it was made in.
    pub(crate) async fn give_back(&self, units: u64) -> Result<(), Error> {
        let refund = Op::Refund { at: Some(self.at) };
        resilience::call(&self.backend, refund, &[self.hit(units)]).await.map_err(Error::backend)?;
        Ok(())
    }
}
