//! What layers leave on a request for the layers and gates inside: which throttles have been applied, and what they
//! charged.

use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use crate::decision::{Stat, Throttled};
use crate::reserve::OpenCharge;
use crate::throttle::Throttle;

/// A throttle that a layer has applied to this request.
#[derive(Debug, Clone)]
pub(super) struct LayerRecord {
    pub(super) throttle: Throttle,
    pub(super) outcome: LayerOutcome,
    /// The state of the account that counted the request; `None` if none did, or none that a client should see.
    pub(super) stat: Option<Stat>,
}

/// The outcome of a throttle whose layer let the request pass.
#[derive(Debug, Clone)]
pub(super) enum LayerOutcome {
    /// It charged the cost. Only the layer and those who may settle the charge keep it: whoever keeps the request's
    /// extensions would delay what happens to a charge that is dropped.
    Charged { charge: Weak<OpenCharge>, cost: u64 },
    /// Its cost was 0.
    Free,
    /// It counted nothing: the client is exempt, or there was an outage.
    Uncounted,
    /// It refused the request, but let it pass.
    LetPass(Box<LetPass>),
}

/// A refusal that turned nobody away.
#[derive(Debug, Clone)]
pub(super) struct LetPass {
    pub(super) refusal: Throttled,
    /// Whether the throttle's mode let it pass, rather than its answer.
    pub(super) shadow: bool,
}

impl LayerOutcome {
    pub(super) fn charged(charge: &Arc<OpenCharge>) -> Self {
        Self::Charged { charge: Arc::downgrade(charge), cost: charge.receipt.charge.cost }
    }
}

/// All records, outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerRecords(SmallVec<[LayerRecord; 1]>);

impl LayerRecords {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, throttle: &Throttle) -> Option<&LayerRecord> {
        self.0.iter().find(|record| record.throttle.same(throttle))
    }

    /// What the layers outside have charged, outermost first.
    pub(super) fn charges(&self) -> impl Iterator<Item = (&Throttle, Arc<OpenCharge>)> {
        self.0.iter().filter_map(|LayerRecord { throttle, outcome, .. }| match outcome {
            LayerOutcome::Charged { charge, .. } => Some((throttle, charge.upgrade()?)),
            LayerOutcome::Free | LayerOutcome::Uncounted | LayerOutcome::LetPass(_) => None,
        })
    }

    /// The states of the accounts that counted the request, outermost first.
    pub(super) fn stats(&self) -> impl Iterator<Item = &Stat> {
        self.0.iter().filter_map(|record| record.stat.as_ref())
    }

    /// Where the state of this throttle's account is kept, if a layer has applied it.
    pub(super) fn stat_mut(&mut self, throttle: &Throttle) -> Option<&mut Option<Stat>> {
        let mut records = self.0.iter_mut();
        records.find(|record| record.throttle.same(throttle)).map(|record| &mut record.stat)
    }

    pub(super) fn extend(&mut self, records: impl Iterator<Item = LayerRecord>) {
        self.0.extend(records);
    }
}

/// Marks an answer as one that turned the request away: the layers that it still has to pass refund what they have
/// charged.
///
/// The layers do so rather than the place that turns the request away, because its answer need not be final: a layer
/// in between may call the inner service again, or another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct TurnedAway;
