//! The fast paths: throttles that count in memory, used at a place that overrides neither their cost nor what
//! they count by.

use super::report::headers;
use super::{Admission, ResponseWork, ThrottleUse, decided, single};
use crate::Parts;
use crate::app::Traffik;
use crate::decision::{Decision, Stat};
use crate::headers::Report;
use crate::pipeline::{self, AdmittedHit, Decisions, HitContinuation, StackContinuation};
use crate::throttle::Throttle;
use crate::tower::layer_context::LayerContext;

/// The app whose settings the throttles fall back to; `None` where a layer has applied throttles.
#[inline]
fn app(parts: &Parts) -> Option<Option<&Traffik>> {
    let context = LayerContext::of(&parts.extensions);
    context.is_none_or(|context| context.records.is_empty()).then(|| Traffik::by(context))
}

/// Lets a request in under a single throttle, if no layer has applied one to it and it leaves at most headers
/// to write.
#[inline(always)]
pub(super) fn single_in_memory(one: &ThrottleUse, parts: &mut Parts) -> Option<Admission> {
    if !one.leaves_nothing_to_do() {
        return None;
    }
    let then = SingleAdmission { one, parts };
    Some(match pipeline::request(&one.throttle, parts, app(parts)?, then)? {
        Ok(work) => Admission::Admitted(work),
        Err(refused) => single(one, *refused, parts),
    })
}

/// How a gate of one throttle continues.
struct SingleAdmission<'a> {
    one: &'a ThrottleUse,
    parts: &'a Parts,
}

impl HitContinuation for SingleAdmission<'_> {
    /// The decision, if the request is refused.
    type Output = Result<ResponseWork, Box<Decision>>;

    #[inline(always)]
    fn admitted(self, hit: AdmittedHit<'_>) -> Self::Output {
        if hit.is_silent() {
            return Ok(ResponseWork::default());
        }
        Ok(reporting(self.one, &hit.stat(), self.parts))
    }

    #[inline(always)]
    fn exempt(self) -> Self::Output {
        Ok(ResponseWork::default())
    }

    fn decided(self, decision: Decision) -> Self::Output {
        match decision {
            Decision::Allowed(stat) => Ok(reporting(self.one, &stat, self.parts)),
            decision => Err(Box::new(decision)),
        }
    }
}

/// Lets in a request that leaves only headers to write.
#[inline(never)]
fn reporting(one: &ThrottleUse, stat: &Stat, parts: &Parts) -> ResponseWork {
    let settings = one.throttle.settings();
    let headers = headers(&settings, parts);
    if !headers.wanted_by_admitted(parts, stat) {
        return ResponseWork::default();
    }
    ResponseWork::reporting(Report {
        headers: headers.clone(),
        stat: stat.clone(),
        window: settings.window(),
        refused: false,
        charged: 0,
    })
}

/// Lets a request in under a few throttles, if no layer has applied one to it and they can be decided
/// together. For each length the decision is compiled on its own.
#[inline]
pub(super) fn together_in_memory(uses: &[ThrottleUse], parts: &mut Parts) -> Option<Admission> {
    match uses {
        [a, b] => each([a, b], parts),
        [a, b, c] => each([a, b, c], parts),
        [a, b, c, d] => each([a, b, c, d], parts),
        [a, b, c, d, e] => each([a, b, c, d, e], parts),
        _ => None,
    }
}

#[inline(never)]
fn each<const N: usize>(uses: [&ThrottleUse; N], parts: &mut Parts) -> Option<Admission> {
    let mut throttles = [&uses[0].throttle; N];
    for at in 1..N {
        throttles[at] = &uses[at].throttle;
    }
    pipeline::each(throttles, StackAdmission { uses: &uses, parts })
}

/// How a gate of a few throttles continues.
struct StackAdmission<'a> {
    uses: &'a [&'a ThrottleUse],
    parts: &'a mut Parts,
}

impl StackContinuation for StackAdmission<'_> {
    type Output = Admission;

    #[inline(always)]
    fn parts(&self) -> &Parts {
        self.parts
    }

    #[inline(always)]
    fn throttle(&self, at: usize) -> Option<&Throttle> {
        self.uses.get(at).map(|one| &one.throttle)
    }

    #[inline(always)]
    fn app(&self) -> Option<Option<&Traffik>> {
        app(self.parts)
    }

    #[inline(always)]
    fn is_silent(&self, at: usize, by_itself: bool) -> bool {
        let Some(one) = self.uses.get(at) else { return false };
        by_itself && one.leaves_nothing_to_do() || one.stays_silent(self.parts)
    }

    #[inline(always)]
    fn silent(self) -> Admission {
        Admission::Admitted(ResponseWork::default())
    }

    #[inline(never)]
    fn decided(self, decisions: Decisions) -> Admission {
        decided(self.uses, decisions, self.parts)
    }
}
