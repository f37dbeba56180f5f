//! A refusal that the backend remembers: returned immediately, with no future and no call.
//!
//! Attacks consist of these. If nothing is remembered, the general path begins anew, so only the crate's own code,
//! which has no side effects, runs here. Throttles with the user's own identifiers and costs take the general path at
//! once.

use std::slice::from_ref;

use super::backends;
use crate::app::{Traffik, client_ip};
use crate::backend::{Hit, Op};
use crate::decision::Decision;
use crate::hit_outcome::HitOutcome;
use crate::key;
use crate::request_fn::Source;
use crate::subject::Subject;
use crate::throttle::Throttle;

/// Returns the decision on a hit, if it is already known.
pub(crate) fn hit(throttle: &Throttle, subject: &Subject<'_>, units: Option<u64>) -> Option<Decision> {
    let (settings, parts) = (throttle.settings(), subject.parts());
    let (policy, Source::Fixed(cost), true) =
        (settings.fixed_policy()?, &settings.cost, settings.is_immediate && throttle.is_enabled())
    else {
        return None;
    };
    let backend = backends::fixed(&settings, parts)?;
    if backend.is_immediate() || policy.rate().is_unlimited() {
        return None;
    }
    let cost = units.unwrap_or(*cost);
    let identity;
    let who = match (parts, settings.identifier_under(Traffik::of(parts))) {
        (Some(parts), None) => {
            identity = client_ip(parts);
            identity.as_ref()
        }
        (Some(_), Some(_)) => return None,
        (None, _) => subject.who()?,
    };
    if cost == 0 || who.is_exempted() {
        return None;
    }
    let hit = Hit::new(policy, who, key::identity(&who), settings.fixed_scope(), cost);
    let verdicts = backend.get().recall(Op::Hit, from_ref(&hit))?;
    let verdict = verdicts.each.first().filter(|verdict| !verdict.admitted)?;
    let wait = verdict.retry_after();
    throttle.reporter().hit(Op::Hit, backend.name(), HitOutcome::Denied, cost, || verdict.remaining, wait);
    Some(Decision::new(policy, cost, verdict))
}
