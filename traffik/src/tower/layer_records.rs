//! What layers leave on a request for the layers and gates inside: which throttles have been applied, and what they
//! charged.

use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use crate::decision::Throttled;
use crate::reserve::OpenCharge;
use crate::throttle::Throttle;

/// A throttle that a layer has applied to this request.
#[derive(Debug, Clone)]
pub(super) struct LayerRecord {
    pub(super) throttle: Throttle,
    pub(super) outcome: LayerOutcome,
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
        self.0.iter().filter_map(|LayerRecord { throttle, outcome }| match outcome {
            LayerOutcome::Charged { charge, .. } => Some((throttle, charge.upgrade()?)),
            LayerOutcome::Free | LayerOutcome::Uncounted | LayerOutcome::LetPass(_) => None,
        })
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
