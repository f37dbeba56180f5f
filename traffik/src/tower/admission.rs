//! The way in, shared by gates and layers: decide under all throttles of the place, answer
//! refusals, and record what is left to do for requests that are let in.

mod enter;
mod nested_use;
mod place;
#[cfg(feature = "memory")]
mod plain;
mod refuse;
mod report;
mod response_work;

use axum_core::response::Response;
use smallvec::SmallVec;

use super::layer_context::LayerContext;
use crate::Parts;
use crate::app::Traffik;
use crate::backend::Op;
use crate::decision::Decision;
use crate::pipeline::{self, Decisions, Entry, Failure, ThrottleDecision};
use crate::response;
use crate::subject::IntoSubject;

use enter::{ContinuedRefusals, enter};
use nested_use::{
    RemainingCost, Standing, counted_uses, leave_layer_outcome, remaining_cost, remaining_costs, restate,
    standing,
};
pub(crate) use place::{Place, ThrottleUse};
use refuse::refuse;
pub(crate) use refuse::turned_away;
pub(crate) use response_work::ResponseWork;

/// How far a request gets without waiting.
pub(crate) enum Admission {
    /// All the way.
    Admitted(ResponseWork),
    /// [`admit`] does the rest.
    Pending(Pending),
}

/// What is known about a request that has to wait.
pub(crate) enum Pending {
    Undecided,
    /// Decided, and not to be let in as it is: a throttle refused it, or its backend failed.
    Decided(Box<Result<Decisions, Failure>>),
}

/// Lets a request in if that needs no waiting. A layer leaves records for the places inside it.
///
/// Not inlined, because a program has many handlers.
#[inline(never)]
pub(crate) fn admit_now(uses: &[ThrottleUse], parts: &mut Parts, place: Place) -> Admission {
    // A single throttle has a path of its own: a loop and a table of lengths would add a tenth to
    // an exempt request.
    #[cfg(feature = "memory")]
    if let ([one], Place::Gate) = (uses, place)
        && let Some(admission) = plain::single_in_memory(one, parts)
    {
        return admission;
    }
    if place == Place::Gate && uses.iter().all(|one| one.overrides.is_none()) {
        #[cfg(feature = "memory")]
        if let Some(admission) = plain::together_in_memory(uses, parts) {
            return admission;
        }
        if let [one] = uses
            && LayerContext::records(&parts.extensions).is_none()
            && let Some(decision) = pipeline::recall(&one.throttle, &(&*parts).into_subject(), None)
        {
            return single(one, decision, parts);
        }
    }
    in_general(uses, parts, place)
}

/// The general path, which honors overrides and the records of outer layers.
#[inline(never)]
fn in_general(uses: &[ThrottleUse], parts: &mut Parts, place: Place) -> Admission {
    let counted = match standing(uses, parts) {
        Standing::Counts(counted) => counted,
        Standing::Refused(..) | Standing::MayCostMore => return Admission::Pending(Pending::Undecided),
    };
    leave_layer_outcome(uses, &counted, parts);
    if counted.is_empty() {
        return Admission::Admitted(ResponseWork::default());
    }
    let silent = place == Place::Gate && counted.iter().all(|one| one.stays_silent(parts));
    let entries = entries(&counted, &[]);
    let decisions = pipeline::decide_now(&entries, &(&*parts).into_subject(), Op::Hit, None, |decided| {
        if silent && decided.admitted() { None } else { Some(decided.into_decisions()) }
    });
    match decisions {
        None => Admission::Pending(Pending::Undecided),
        Some(Ok(None)) => Admission::Admitted(ResponseWork::default()),
        Some(Ok(Some(decisions))) if decisions.refused.is_none() => {
            Admission::Admitted(enter(&counted, decisions, None, parts, place))
        }
        Some(Ok(Some(decisions))) => Admission::Pending(Pending::Decided(Box::new(Ok(decisions)))),
        Some(Err(failure)) => Admission::Pending(Pending::Decided(Box::new(Err(failure)))),
    }
}

/// Turns the decision of a gate's only throttle into its result.
#[inline(never)]
fn single(one: &ThrottleUse, decision: Decision, parts: &mut Parts) -> Admission {
    let window = one.throttle.settings().window();
    decided(&[one], Decisions::of([(decision, window)]), parts)
}

fn decided(uses: &[&ThrottleUse], decisions: Decisions, parts: &mut Parts) -> Admission {
    match decisions.refused {
        None => Admission::Admitted(enter(uses, decisions, None, parts, Place::Gate)),
        Some(_) => Admission::Pending(Pending::Decided(Box::new(Ok(decisions)))),
    }
}

/// Lets a request in, or returns the answer that turns it away.
///
/// # Errors
/// The answer that turns the request away.
pub(crate) async fn admit(
    uses: &[ThrottleUse],
    parts: &mut Parts,
    place: Place,
    mut pending: Pending,
) -> Result<ResponseWork, Response> {
    let mut costs = Vec::new();
    let mut counted = match standing(uses, parts) {
        Standing::Refused(one, refusal) => {
            let decisions = Decisions::of([(Decision::Denied(refusal.clone()), refusal.window())]);
            return Err(refuse(&[one], &decisions, 0, parts).await);
        }
        Standing::MayCostMore => {
            costs = remaining_costs(uses, parts).await;
            counted_uses(uses, &costs, LayerContext::records(&parts.extensions))
        }
        Standing::Counts(counted) => counted,
    };
    leave_layer_outcome(uses, &counted, parts);
    let mut continued: Option<ContinuedRefusals> = None;
    loop {
        let made = match pending {
            Pending::Decided(made) => *made,
            Pending::Undecided => {
                let entries = entries(&counted, &costs);
                pipeline::decide(&entries, (&*parts).into_subject(), Op::Hit, None).await
            }
        };
        let mut decisions = match made {
            Ok(decisions) => decisions,
            Err(failure) => {
                return Err(turned_away(response::outage(failure.outage, Some(parts)), parts));
            }
        };
        let refuses = |decided: &ThrottleDecision| !decided.shadow && !decided.decision.is_allowed();
        let each = || counted.iter().copied().zip(&decisions.each);
        if !each().any(|(_, decided)| refuses(decided)) {
            return Ok(enter(&counted, decisions, continued, parts, place));
        }
        if let Some(at) = each().position(|(one, decided)| refuses(decided) && !one.continues()) {
            restate(&mut decisions, &counted, &costs);
            return Err(refuse(&counted, &decisions, at, parts).await);
        }
        // These throttles refuse but let the request pass, so the others must charge for it: decide
        // once more without them.
        let continued = continued.get_or_insert_default();
        for (one, decided) in each().filter(|(_, decided)| refuses(decided)) {
            continued.add(one, decided, parts);
        }
        let mut left = decisions.each.iter().map(|decided| !refuses(decided));
        counted.retain(|_| left.next().unwrap_or(false));
        pending = Pending::Undecided;
    }
}

/// The throttles of a place that count for this request.
type CountedUses<'a> = SmallVec<[&'a ThrottleUse; 4]>;

fn app(parts: &Parts) -> Option<&Traffik> {
    Traffik::of(Some(parts))
}

fn entries<'a>(
    counted: &[&'a ThrottleUse],
    remaining_costs: &'a [RemainingCost<'_>],
) -> SmallVec<[Entry<'a>; 4]> {
    let entry = |one: &&'a ThrottleUse| Entry {
        throttle: &one.throttle,
        overrides: remaining_cost(remaining_costs, one).or(one.overrides.as_ref()),
    };
    counted.iter().map(entry).collect()
}
