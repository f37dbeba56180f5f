//! What is left to do for throttles that layers further out have already applied.
//!
//! | what a layer did with a throttle | what the same throttle does here |
//! |---|---|
//! | nothing, or it counts on an account of another scope | all that it would do anyway |
//! | charged the request | nothing; with a cost of its own here: charges what that is above the layer's |
//! | found it free | nothing; with a cost of its own here: charges that |
//! | did not count it: exempt, or no decision in an outage | nothing |
//! | refused it, and let it pass (shadow mode, `"continue"`) | nothing, unless it is enforced here, or has an answer of its own: then it refuses, without being asked again |

use super::{CountedUses, ThrottleUse};
use crate::Parts;
use crate::decision::Throttled;
use crate::pipeline::{Decisions, Overrides};
use crate::request_fn::Source;
use crate::response::OnThrottled;
use crate::tower::layer_context::LayerContext;
use crate::tower::layer_records::{LayerOutcome, LayerRecords};
use crate::tower::outcome::Outcome;

/// A throttle with something left to charge.
pub(super) struct RemainingCost<'a> {
    one: &'a ThrottleUse,
    /// Says how much is left.
    overrides: Overrides,
    /// What the throttle costs here in all.
    whole: u64,
    /// What a layer has charged of that. It is refunded if the request is turned away.
    charged: u64,
}

/// Where a request stands at a place, after what layers have done.
pub(super) enum Standing<'a, 'r> {
    /// A layer let a refusal pass that holds here.
    Refused(&'a ThrottleUse, &'r Throttled),
    /// A throttle may cost more here than a layer has charged. How much more, [`remaining_costs`] finds out, which may
    /// have to wait.
    MayCostMore,
    /// These throttles have yet to be applied.
    Counts(CountedUses<'a>),
}

/// Finds out where a request stands at a place.
#[inline]
pub(super) fn standing<'a, 'r>(uses: &'a [ThrottleUse], parts: &'r Parts) -> Standing<'a, 'r> {
    let records = LayerContext::records(&parts.extensions);
    if let Some(records) = records {
        let mut refusals = uses.iter().filter_map(|one| Some((one, enforced_refusal(one, records)?)));
        if let Some((one, refusal)) = refusals.next() {
            return Standing::Refused(one, refusal);
        }
        if uses.iter().any(|one| may_cost_more(one, records)) {
            return Standing::MayCostMore;
        }
    }
    Standing::Counts(counted_uses(uses, &[], records))
}

/// The throttles that count here: those that no layer has applied, and those with something left to charge.
#[inline]
pub(super) fn counted_uses<'a>(
    uses: &'a [ThrottleUse],
    remaining_costs: &[RemainingCost<'_>],
    records: Option<&LayerRecords>,
) -> CountedUses<'a> {
    let Some(records) = records else { return uses.iter().collect() };
    uses.iter()
        .filter(|one| not_yet_applied(one, records) || remaining_cost(remaining_costs, one).is_some())
        .collect()
}

/// Whether no layer has applied this throttle to the request. Another scope is another account.
fn not_yet_applied(one: &ThrottleUse, records: &LayerRecords) -> bool {
    one.has_own_scope() || records.find(&one.throttle).is_none()
}

/// Returns the refusal that a layer let pass but that holds here: this place enforces a throttle in shadow mode, or
/// has an answer of its own where the throttle lets the handler run.
fn enforced_refusal<'a>(one: &ThrottleUse, records: &'a LayerRecords) -> Option<&'a Throttled> {
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
fn may_cost_more(one: &ThrottleUse, records: &LayerRecords) -> bool {
    !not_yet_applied(one, records) && one.overrides.as_ref().is_some_and(|overrides| overrides.cost.is_some())
}

/// Finds the throttles that layers have applied and that have something left to charge here.
pub(super) async fn remaining_costs<'a>(uses: &'a [ThrottleUse], parts: &Parts) -> Vec<RemainingCost<'a>> {
    let mut remaining_costs = Vec::new();
    let Some(records) = LayerContext::records(&parts.extensions) else { return remaining_costs };
    for one in uses.iter().filter(|one| may_cost_more(one, records)) {
        let (Some(overrides), Some(record)) = (&one.overrides, records.find(&one.throttle)) else { continue };
        let cost = match &overrides.cost {
            Some(Source::Fixed(cost)) => *cost,
            Some(Source::Of(function)) => function.call(parts).await,
            None => 0,
        };
        let charged = match &record.outcome {
            LayerOutcome::Charged { cost, .. } => *cost,
            LayerOutcome::Free => 0,
            // What a layer let pass uncounted passes here as well.
            LayerOutcome::Uncounted | LayerOutcome::LetPass(_) => cost,
        };
        if cost > charged {
            // What can never pass as a whole could seem to pass later without what the layer has charged.
            let settings = one.throttle.settings();
            let fits = settings.check_cost_of_use(one.throttle.uid(), &Source::Fixed(cost)).is_ok();
            let left = if fits { cost - charged } else { cost };
            let overrides = Overrides { cost: Some(Source::Fixed(left)), ..overrides.clone() };
            remaining_costs.push(RemainingCost { one, overrides, whole: cost, charged });
        }
    }
    remaining_costs
}

/// The overrides under which a throttle charges only what is left; `None` if nothing is, or no layer has applied it.
pub(super) fn remaining_cost<'a>(
    remaining_costs: &'a [RemainingCost<'_>],
    one: &ThrottleUse,
) -> Option<&'a Overrides> {
    find(remaining_costs, one).map(|remaining| &remaining.overrides)
}

/// Restates the decisions on a request that is turned away as they stand once the layers have refunded what they
/// charged for it.
pub(super) fn restate(
    decisions: &mut Decisions,
    counted: &[&ThrottleUse],
    remaining_costs: &[RemainingCost<'_>],
) {
    for (one, decided) in counted.iter().zip(&mut decisions.each) {
        if let Some(remaining) = find(remaining_costs, one) {
            decided.decision.restate(remaining.whole, remaining.charged);
        }
    }
}

fn find<'a, 'b>(
    remaining_costs: &'a [RemainingCost<'b>],
    one: &ThrottleUse,
) -> Option<&'a RemainingCost<'b>> {
    remaining_costs.iter().find(|remaining| std::ptr::eq(remaining.one, one))
}

/// Tells a handler that takes an outcome that it was let in, if layers have already decided on some of its throttles:
/// those are not asked again.
pub(super) fn leave_layer_outcome(uses: &[ThrottleUse], counted: &[&ThrottleUse], parts: &mut Parts) {
    if counted.len() < uses.len() && uses.iter().any(ThrottleUse::leaves_outcome) {
        Outcome::leave(parts, None, []);
    }
}
