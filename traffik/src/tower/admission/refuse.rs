//! The answer to a request that is turned away.

use axum_core::response::Response;

use super::report::report;
use super::{ThrottleUse, app};
use crate::Parts;
use crate::app::Traffik;
use crate::decision::Throttled;
use crate::headers::{self, Report};
use crate::pipeline::Decisions;
use crate::response::{self, OnThrottled};
use crate::tower::layer_context::LayerContext;
use crate::tower::layer_records::TurnedAway;

/// Answers a request that the throttle at `at` turns away.
pub(super) async fn refuse(
    counted: &[&ThrottleUse],
    decisions: &Decisions,
    at: usize,
    parts: &Parts,
) -> Response {
    let reports: Vec<Report> = counted
        .iter()
        .zip(&decisions.each)
        .filter_map(|(one, decided)| report(one, decided, parts, true))
        .collect();
    let first = decisions.each.get(at).and_then(|decided| decided.decision.throttled());
    let last = first.map(|first| response::last(first, turning_away(counted, decisions)));
    let mut response = match (first, last) {
        (Some(first), Some(last)) => answer(counted, decisions, at, [first, last], parts).await,
        _ => response::outage(crate::outage::Outage::Raise, Some(parts)),
    };
    headers::write(&reports, response.headers_mut(), false);
    if let Some(last) = last {
        response::complete(&mut response, last);
    }
    turned_away(response, parts)
}

/// All refusals that keep the request out.
fn turning_away<'a>(
    counted: &[&ThrottleUse],
    decisions: &'a Decisions,
) -> impl Iterator<Item = &'a Throttled> {
    let each =
        counted.iter().zip(&decisions.each).filter(|(one, decided)| !decided.shadow && !one.continues());
    each.filter_map(|(_, decided)| decided.decision.throttled())
}

async fn answer(
    counted: &[&ThrottleUse],
    decisions: &Decisions,
    at: usize,
    [first, last]: [&Throttled; 2],
    parts: &Parts,
) -> Response {
    let own = counted.get(at).and_then(|one| one.on_throttled(&one.throttle.settings()).cloned());
    let answer = own.or_else(|| app(parts)?.on_throttled().cloned());
    if let Some(OnThrottled::Answer(answer)) = answer {
        return answer(parts, first).await;
    }
    let refused = counted
        .iter()
        .zip(&decisions.each)
        .filter(|(_, decided)| !decided.shadow && !decided.decision.is_allowed());
    let settings: Vec<_> = refused.map(|(one, _)| (one.throttle.uid(), one.throttle.settings())).collect();
    let app = app(parts).and_then(Traffik::headers);
    let policies: Vec<&str> = settings
        .iter()
        .map(|(uid, settings)| {
            settings.response.headers.as_ref().or(app).map_or(*uid, |headers| headers.policy(uid))
        })
        .collect();
    response::refusal(Some(parts), last, &policies)
}

/// Marks the answer of a request that is turned away, for the layers around.
pub(crate) fn turned_away(mut response: Response, parts: &Parts) -> Response {
    if LayerContext::records(&parts.extensions).is_some() {
        response.extensions_mut().insert(TurnedAway);
    }
    response
}
