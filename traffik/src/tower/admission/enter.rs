//! The last step of the way in: what is left to do for a request that is let in, and what the places inside find on it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::report::{report, visible_stat};
use super::response_work::WorkList;
use super::{Place, ResponseWork, ThrottleUse};
use crate::Parts;
use crate::decision::{Decision, Stat, Throttled};
use crate::headers::Report;
use crate::pipeline::{Decisions, ThrottleDecision};
use crate::reserve::OpenCharge;
use crate::tower::layer_context::LayerContext;
use crate::tower::layer_records::{LayerOutcome, LayerRecord, LetPass};
use crate::tower::outcome::Outcome;

/// Throttles that refused the request but let it pass.
#[derive(Default)]
pub(super) struct ContinuedRefusals<'a> {
    first: Option<Throttled>,
    reports: Vec<Report>,
    passed: SmallVec<[Passed<'a>; 1]>,
}

/// A throttle that let the request pass.
struct Passed<'a> {
    one: &'a ThrottleUse,
    outcome: LayerOutcome,
    stat: Option<Stat>,
}

impl<'a> ContinuedRefusals<'a> {
    pub(super) fn add(&mut self, one: &'a ThrottleUse, decided: &ThrottleDecision, parts: &Parts) {
        self.reports.extend(report(one, decided, parts, true));
        let Some(refusal) = decided.decision.throttled() else { return };
        let let_pass = LetPass { refusal: refusal.clone(), shadow: false };
        let outcome = LayerOutcome::LetPass(Box::new(let_pass));
        self.passed.push(Passed { one, outcome, stat: visible_stat(decided).cloned() });
        self.first.get_or_insert_with(|| refusal.clone());
    }
}

/// Records what is left to do for a request that is let in.
pub(super) fn enter<'a>(
    counted: &[&'a ThrottleUse],
    decisions: Decisions,
    continued: Option<ContinuedRefusals<'a>>,
    parts: &mut Parts,
    place: Place,
) -> ResponseWork {
    let mut work = WorkList::of(place);
    let leaves_outcome = continued.is_some() || counted.iter().any(|one| one.leaves_outcome());
    let ContinuedRefusals { first, reports, mut passed } = continued.unwrap_or_default();
    reports.into_iter().for_each(|report| work.report(report));
    for (&one, decided) in counted.iter().zip(decisions.each) {
        if let Some(report) = report(one, &decided, parts, first.is_some()) {
            work.report(Report {
                charged: decided.charged.as_ref().map_or(0, |receipt| receipt.charge.cost),
                ..report
            });
        }
        let settings = one.throttle.settings();
        let stat = visible_stat(&decided).filter(|_| place == Place::Layer || leaves_outcome).cloned();
        let charge = decided.charged.map(|receipt| Arc::new(OpenCharge::new(receipt, settings.on_cancel)));
        if let Some(charge) = &charge {
            work.charge(one.refund_on(&settings), charge.clone());
            if one.handler_settles {
                work.add_handler_charge(charge.clone());
            }
        }
        if place == Place::Layer || leaves_outcome {
            let outcome = match (charge, decided.decision) {
                (Some(charge), _) => LayerOutcome::charged(&charge),
                (None, Decision::Denied(refusal)) => {
                    LayerOutcome::LetPass(Box::new(LetPass { refusal, shadow: true }))
                }
                (None, _) if decided.free => LayerOutcome::Free,
                (None, _) => LayerOutcome::Uncounted,
            };
            passed.push(Passed { one, outcome, stat });
        }
    }
    // All of them lie in one slice of uses, so their addresses are in the order in which they are written.
    passed.sort_unstable_by_key(|passed| std::ptr::from_ref(passed.one));
    match place {
        Place::Layer => {
            if leaves_outcome {
                Outcome::leave(parts, first, []);
            }
            leave_records(parts, passed);
        }
        Place::Gate if leaves_outcome => leave_outcome(parts, first, passed),
        Place::Gate => {}
    }
    work.into()
}

/// Leaves what a layer has done for the places inside.
fn leave_records(parts: &mut Parts, passed: SmallVec<[Passed<'_>; 1]>) {
    let records = passed.into_iter().map(|Passed { one, outcome, stat }| LayerRecord {
        throttle: one.throttle.clone(),
        outcome,
        stat,
    });
    LayerContext::update(&mut parts.extensions, |context| context.records.extend(records));
}

/// Leaves what a gate has decided for its handler. Where a layer has charged a part of the cost, it is the layer's
/// account that has changed. If the rest was not counted, its last known state stays.
fn leave_outcome(parts: &mut Parts, throttled: Option<Throttled>, passed: SmallVec<[Passed<'_>; 1]>) {
    let mut stats = Vec::new();
    for Passed { one, stat, .. } in passed {
        let layers = if one.has_own_scope() {
            None
        } else {
            LayerContext::stat_mut(&mut parts.extensions, &one.throttle)
        };
        match layers {
            Some(layers) => *layers = stat.or(layers.take()),
            None => stats.extend(stat),
        }
    }
    Outcome::leave(parts, throttled, stats);
}
