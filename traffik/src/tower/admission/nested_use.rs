//! What is left to do for throttles that layers further out have already applied.

use super::ThrottleUse;
use crate::Parts;
use crate::decision::Throttled;
use crate::pipeline::Overrides;
use crate::request_fn::Source;
use crate::response::OnThrottled;
use crate::tower::layer_records::{LayerOutcome, LayerRecords};
use crate::tower::outcome::Outcome;

/// Throttles with something left to charge, and how much.
pub(super) type RemainingCosts<'a> = Vec<(&'a ThrottleUse, Overrides)>;

/// Whether no layer has applied this throttle to the request. Another scope is another account.
pub(super) fn not_yet_applied(one: &ThrottleUse, records: &LayerRecords) -> bool {
    one.has_own_scope() || records.find(&one.throttle).is_none()
}

/// Returns the refusal that a layer let pass but that holds here: this place enforces a throttle in shadow mode, or
/// has an answer of its own where the throttle lets the handler run.
pub(super) fn enforced_refusal<'a>(one: &ThrottleUse, records: &'a LayerRecords) -> Option<&'a Throttled> {
    if not_yet_applied(one, records) {
        return None;
    }
    let LayerOutcome::LetPass(let_pass) = &records.find(&one.throttle)?.outcome else { return None };
    let holds = if let_pass.shadow {
        one.overrides.as_ref().is_some_and(|overrides| overrides.shadow == Some(false))
    } else {
        matches!(one.response.on_throttled, Some(OnThrottled::Answer(_)))
    };
    holds.then_some(&let_pass.refusal)
}

/// Whether the throttle may cost more here than a layer has charged.
pub(super) fn may_cost_more(one: &ThrottleUse, records: &LayerRecords) -> bool {
    !not_yet_applied(one, records) && one.overrides.as_ref().is_some_and(|overrides| overrides.cost.is_some())
}

/// Finds the throttles that layers have applied and that have something left to charge here.
pub(super) async fn remaining_costs<'a>(uses: &'a [ThrottleUse], parts: &Parts) -> RemainingCosts<'a> {
    let mut remaining_costs = Vec::new();
    let Some(records) = LayerRecords::of(&parts.extensions) else { return remaining_costs };
    for one in uses.iter().filter(|one| may_cost_more(one, records)) {
        let (Some(overrides), Some(record)) = (&one.overrides, records.find(&one.throttle)) else { continue };
        let cost = match &overrides.cost {
            Some(Source::Fixed(cost)) => *cost,
            Some(Source::Of(function)) => function.call(parts).await,
            None => 0,
        };
        let charged = match &record.outcome {
            LayerOutcome::Charged(charge) => charge.receipt.charge.cost,
            LayerOutcome::Free => 0,
            // What a layer let pass uncounted passes here as well.
            LayerOutcome::Uncounted | LayerOutcome::LetPass(_) => cost,
        };
        if cost > charged {
            remaining_costs
                .push((one, Overrides { cost: Some(Source::Fixed(cost - charged)), ..overrides.clone() }));
        }
    }
    remaining_costs
}

pub(super) fn remaining_cost<'a>(
    remaining_costs: &'a [(&ThrottleUse, Overrides)],
    one: &ThrottleUse,
) -> Option<&'a Overrides> {
    remaining_costs.iter().find(|(other, _)| std::ptr::eq(*other, one)).map(|(_, overrides)| overrides)
}

/// Tells a handler that runs either way that it was let in, for the throttles that layers have already decided on:
/// those are not asked again.
pub(super) fn leave_layer_outcome(uses: &[ThrottleUse], parts: &mut Parts) {
    if uses.iter().any(ThrottleUse::continues) {
        Outcome::leave(parts, None);
    }
}
