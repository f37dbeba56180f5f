//! What is left to do for throttles that layers further out have already applied.

use super::Use;
use crate::Parts;
use crate::decision::Throttled;
use crate::pipeline::Overrides;
use crate::request_fn::Source;
use crate::response::OnThrottled;
use crate::tower::marks::{CameTo, Marks};
use crate::tower::outcome::Outcome;

/// Throttles with something left to charge, and how much.
pub(super) type Adjusted<'a> = Vec<(&'a Use, Overrides)>;

/// Whether no layer has applied this throttle to the request. Another scope is another account.
pub(super) fn is_new(one: &Use, marks: &Marks) -> bool {
    one.is_apart() || marks.find(&one.throttle).is_none()
}

/// Returns the refusal that a layer let pass but that holds here: this place enforces a throttle in shadow mode, or
/// has an answer of its own where the throttle lets the handler run.
pub(super) fn held<'a>(one: &Use, marks: &'a Marks) -> Option<&'a Throttled> {
    if is_new(one, marks) {
        return None;
    }
    let CameTo::LetPass(let_pass) = &marks.find(&one.throttle)?.came_to else { return None };
    let holds = if let_pass.shadow {
        one.overrides.as_ref().is_some_and(|overrides| overrides.shadow == Some(false))
    } else {
        matches!(one.answers.on_throttled, Some(OnThrottled::Answer(_)))
    };
    holds.then_some(&let_pass.refusal)
}

/// Whether the throttle may cost more here than a layer has charged.
pub(super) fn adjusts(one: &Use, marks: &Marks) -> bool {
    !is_new(one, marks) && one.overrides.as_ref().is_some_and(|overrides| overrides.cost.is_some())
}

/// Finds the throttles that layers have applied and that have something left to charge here.
pub(super) async fn adjusted<'a>(uses: &'a [Use], parts: &Parts) -> Adjusted<'a> {
    let mut adjusted = Vec::new();
    let Some(marks) = Marks::of(&parts.extensions) else { return adjusted };
    for one in uses.iter().filter(|one| adjusts(one, marks)) {
        let (Some(overrides), Some(mark)) = (&one.overrides, marks.find(&one.throttle)) else { continue };
        let cost = match &overrides.cost {
            Some(Source::Fixed(cost)) => *cost,
            Some(Source::Of(function)) => function.call(parts).await,
            None => 0,
        };
        let charged = match &mark.came_to {
            CameTo::Paid(tab) => tab.receipt.charge.cost,
            CameTo::Free => 0,
            // What a layer let pass uncounted passes here as well.
            CameTo::Uncounted | CameTo::LetPass(_) => cost,
        };
        if cost > charged {
            adjusted
                .push((one, Overrides { cost: Some(Source::Fixed(cost - charged)), ..overrides.clone() }));
        }
    }
    adjusted
}

pub(super) fn find<'a>(adjusted: &'a [(&Use, Overrides)], one: &Use) -> Option<&'a Overrides> {
    adjusted.iter().find(|(other, _)| std::ptr::eq(*other, one)).map(|(_, overrides)| overrides)
}

/// Tells a handler that runs either way that it was let in, for the throttles that layers have already decided on:
/// those are not asked again.
pub(super) fn tell_of_layers(uses: &[Use], parts: &mut Parts) {
    if uses.iter().any(Use::continues) {
        Outcome::leave(parts, None);
    }
}
