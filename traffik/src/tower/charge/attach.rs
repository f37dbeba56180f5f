//! How a gate leaves what was charged, for its handler.

use std::sync::Arc;

use super::GateCharges;
use crate::Parts;
use crate::reserve::OpenCharge;
use crate::throttle::Throttle;
use crate::tower::layer_context::LayerContext;
use crate::tower::{ResponseWork, ThrottleUse};

/// Leaves on the request what its gate has charged, even if that is nothing: what another gate may have left, such as
/// that of a throttled middleware, is not this handler's to settle. What layers have charged for the handler's own
/// throttles counts as its own, and is kept for it as well.
pub(crate) fn attach_charge(parts: &mut Parts, uses: &[ThrottleUse], work: &mut ResponseWork) {
    let layer_charges = layer_charges(parts, uses);
    if !layer_charges.is_empty() {
        work.add_handler_charges(layer_charges);
    }
    let charges = work.handler_charges().iter().map(Arc::downgrade).collect();
    parts.extensions.insert(GateCharges(charges));
}

/// What layers have charged for a handler's own throttles, held for it while its gate waits.
pub(crate) fn hold_layer_charges(parts: &Parts, uses: &[ThrottleUse]) -> ResponseWork {
    let mut work = ResponseWork::default();
    work.add_handler_charges(layer_charges(parts, uses));
    work
}

fn layer_charges(parts: &Parts, uses: &[ThrottleUse]) -> Vec<Arc<OpenCharge>> {
    let own =
        |throttle: &Throttle| uses.iter().any(|one| one.throttle.same(throttle) && !one.has_own_scope());
    let charges = LayerContext::charges(&parts.extensions);
    charges.filter(|(throttle, _)| own(throttle)).map(|(_, charge)| charge).collect()
}
